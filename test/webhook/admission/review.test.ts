import { expect, test } from 'vitest';
import { ReviewError, readReview, writeReview } from '../../../webhook/admission/review.ts';
import { podJson } from './pods.ts';

const review = (request: object, rest: object = {}) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: 'u-1', operation: 'CREATE', namespace: 'shop', object: podJson({}), oldObject: null, ...request },
  ...rest,
});

test('a review is read with what is needed to decide and to log', () => {
  const read = readReview(review({ resource: { resource: 'pods' }, dryRun: true }));
  const about = { uid: 'u-1', resource: 'pods', namespace: 'shop', operation: 'CREATE', dryRun: true };
  expect(read).toMatchObject(about);
});

test.each([
  ['no object', null, 'body must be an object'],
  ['a text', 'AdmissionReview', 'body must be an object'],
  ['another version', review({}, { apiVersion: 'admission.k8s.io/v1beta1' }), 'no AdmissionReview'],
  ['another kind', review({}, { kind: 'Pod' }), 'no AdmissionReview'],
  ['no request', { ...review({}), request: undefined }, 'request must be an object'],
  ['no uid', review({ uid: undefined }), 'request.uid'],
  ['an empty uid', review({ uid: '' }), 'request.uid'],
])('%s is refused as no review', (_, body, where) => {
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
  expect(JSON.parse(Buffer.from((response as { patch?: string }).patch ?? '', 'base64').toString())).toEqual(
    operations,
  );
});

test('a refusal is answered with a status that the API server passes on', () => {
  const { response } = writeReview('u-1', { outcome: 'deny', status: 422, code: 'rate/unit', message: 'no' });
  expect(response).toEqual({
    uid: 'u-1',
    allowed: false,
    status: { status: 'Failure', code: 422, reason: 'Invalid', message: 'no' },
  });
});
