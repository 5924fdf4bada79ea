import { expect, test } from 'vitest';
import { readReview, writeReview } from '../../webhook/review.ts';
import { ReviewError } from '../../webhook/review-schema.ts';
import { podJson } from './pods.ts';

const review = (request: object, rest: object = {}) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: 'u-1', operation: 'CREATE', namespace: 'shop', object: podJson({}), oldObject: null, ...request },
  ...rest,
});

test('a review is read with what is needed to decide and to log', () => {
  const object = podJson({ name: undefined, generateName: 'web-', labels: { rate: '1M' } });
  const read = readReview(review({ object, dryRun: true, userInfo: { username: 'system:node:n1' } }));
  expect(read).toMatchObject({
    uid: 'u-1',
    namespace: 'shop',
    name: 'web-*',
    operation: 'CREATE',
    dryRun: true,
    byNode: true,
  });
  expect(read.pod.metadata.labels).toEqual({ rate: '1M' });
  expect(read.oldPod).toBeUndefined();
});

test('the old pod counts for an update only', () => {
  expect(readReview(review({ oldObject: podJson({}) })).oldPod).toBeUndefined();
  expect(readReview(review({ operation: 'UPDATE', oldObject: podJson({}) })).oldPod).toBeDefined();
  expect(readReview(review({ userInfo: { username: 'alice' } })).byNode).toBe(false);
});

test.each([
  ['no object', null, 'The body is wrong'],
  ['a text', 'AdmissionReview', 'The body is wrong'],
  ['another version', review({}, { apiVersion: 'admission.k8s.io/v1beta1' }), 'apiVersion'],
  ['another kind', review({}, { kind: 'Pod' }), 'kind'],
  ['no request', { ...review({}), request: undefined }, 'request'],
  ['no uid', review({ uid: undefined }), 'request.uid'],
  ['an empty uid', review({ uid: '' }), 'request.uid'],
  ['an endless uid', review({ uid: 'u'.repeat(1000) }), 'request.uid'],
  ['an operation that is never sent', review({ operation: 'DELETE' }), 'request.operation'],
  ['no pod', review({ object: null }), 'request.object'],
  [
    'a binding',
    review({ operation: 'UPDATE', object: { apiVersion: 'v1', kind: 'Binding', metadata: {} } }),
    'request.object.kind',
  ],
  [
    'labels that are no texts',
    review({ object: podJson({ labels: { rate: 1 } }) }),
    'request.object.metadata.labels.rate',
  ],
  ['a pod without metadata', review({ object: { apiVersion: 'v1', kind: 'Pod' } }), 'request.object.metadata'],
])('%s is refused as no review of a pod', (_, body, where) => {
  expect(() => readReview(body)).toThrow(ReviewError);
  expect(() => readReview(body)).toThrow(where);
});

test('nothing to do is answered without a patch', () => {
  expect(writeReview('u-1', { outcome: 'leave', warnings: [] })).toEqual({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid: 'u-1', allowed: true },
  });
});

test('a patch is answered in base64, with its warnings', () => {
  const operations = [{ op: 'remove', path: '/metadata/labels/x' } as const];
  const { response } = writeReview('u-1', { outcome: 'patch', operations, warnings: ['slow'] });
  expect(response).toMatchObject({ allowed: true, patchType: 'JSONPatch', warnings: ['slow'] });
  expect(JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString())).toEqual(operations);
});

test('a refusal is answered with a status that the API server passes on', () => {
  const { response } = writeReview('u-1', { outcome: 'deny', status: 422, code: 'rate/unit', message: 'no' });
  expect(response).toEqual({
    uid: 'u-1',
    allowed: false,
    status: { status: 'Failure', code: 422, reason: 'Invalid', message: 'no' },
  });
});

test('a refusal names a long field only in part', () => {
  const labels = { ['k'.repeat(1_000_000)]: 1 };
  expect(() => readReview(review({ object: podJson({ labels }) }))).toThrow(
    /^The field request\.object\.metadata\.labels\.k+… of this .{1,100}$/,
  );
});
