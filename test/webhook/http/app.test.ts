import type { Server } from 'node:https';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import request from 'supertest';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { createAdmission } from '../../../webhook/admission/admission.ts';
import { type AppParts, createApp } from '../../../webhook/http/app.ts';
import { createMetrics } from '../../../webhook/http/metrics.ts';
import { createTlsServer, listen } from '../../../webhook/http/server.ts';
import { podJson } from '../admission/pods.ts';
import { servingPair, useCertificates } from '../tls.ts';

const admission = createAdmission({
  keys: labelKeys('rate'),
  installation: { default: {}, max: {} },
  labelsOf: async () => undefined,
  quota: undefined,
});
const sets = useCertificates();
let server: Server;
let url: string;
let lines: Record<string, unknown>[];
let metrics: ReturnType<typeof createMetrics>;

async function start(parts: Partial<AppParts> = {}): Promise<void> {
  const record = (level: string) => (fields: object, message: string) => lines.push({ level, message, ...fields });
  const app = createApp({
    admission,
    metrics,
    log: { debug: record('debug'), info: record('info'), warn: record('warn'), error: record('error') },
    isDraining: () => false,
    nowMs: () => performance.now(),
    ...parts,
  });
  server = createTlsServer(app, servingPair(sets().first));
  url = `https://localhost:${await listen(server, 0)}`;
}

beforeEach(async () => {
  lines = [];
  metrics = createMetrics();
  await start();
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const ca = () => sets().first.authority.certificate;
// Asks to keep the connection, as API servers do; supertest would ask to close it.
const post = () => request(url).post('/mutate').ca(ca()).set('Connection', 'keep-alive');
const review = (object: object, more: object = {}) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: 'u-1', operation: 'CREATE', namespace: 'shop', resource: { resource: 'pods' }, object, ...more },
});

describe('an admission review over TLS', () => {
  test('of a pod with a rate is answered with the same uid and a patch', async () => {
    const { status, body, headers } = await post().send(review(podJson({ labels: { rate: '1M' } })));
    expect(status).toBe(200);
    expect(body.response).toMatchObject({ uid: 'u-1', allowed: true, patchType: 'JSONPatch' });
    expect(Buffer.from(body.response.patch, 'base64').toString()).toContain('podrate.dev~1limit');
    expect(headers).not.toHaveProperty('etag');
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers.connection).toBe('keep-alive');
  });

  test('of a pod without a rate is answered with nothing but the permission', async () => {
    const { body } = await post().send(review(podJson({})));
    expect(body.response).toEqual({ uid: 'u-1', allowed: true });
  });

  test('of a pod with a bad rate is refused with HTTP 200 and the sentence', async () => {
    const { status, body } = await post().send(review(podJson({ labels: { rate: '1m' } })));
    expect(status).toBe(200);
    expect(body.response).toMatchObject({ allowed: false, status: { code: 422, reason: 'Invalid' } });
    expect(body.response.status.message).toContain('label rate: "1m" has the unit m, which is milli');
  });

  test('of a large pod is read, up to two objects of nine megabytes', async () => {
    const annotations = { big: 'x'.repeat(9_000_000) };
    const update = { operation: 'UPDATE', oldObject: podJson({ annotations }) };
    expect((await post().send(review(podJson({ annotations }), update))).body.response.allowed).toBe(true);
  });

  test.each([
    ['more than twenty megabytes', { big: 'x'.repeat(20 * 1024 * 1024) }],
    ['a million brackets', { big: '['.repeat(1_000_000) }],
  ])('of an object with %s is refused by its uid', async (_, annotations) => {
    const { status, body } = await post().send(review(podJson({ annotations })));
    expect(status).toBe(200);
    expect(body.response).toMatchObject({ uid: 'u-1', allowed: false, status: { code: 413 } });
    expect(body.response.status.message).toContain('podrate cannot decide about an object this large');
    expect((await post().send(review(podJson({})))).body.response.allowed).toBe(true);
  });

  test('writes one line that says who, what and how long', async () => {
    await post().send(review(podJson({ labels: { rate: '10' } }), { dryRun: true, name: 'web' }));
    expect(lines).toEqual([
      {
        level: 'info',
        message: 'admission',
        path: '/mutate',
        uid: 'u-1',
        namespace: 'shop',
        name: 'web',
        operation: 'CREATE',
        outcome: 'deny',
        code: 'rate/no-unit',
        dryRun: true,
        milliseconds: expect.any(Number),
      },
    ]);
  });

  test('is counted by operation and outcome', async () => {
    await post().send(review(podJson({ labels: { rate: '1M' } })));
    await post().send(review(podJson({})));
    await post().send({});
    const text = await metrics.registry.metrics();
    expect(text).toContain('podrate_admissions_total{operation="CREATE",outcome="patch"} 1');
    expect(text).toContain('podrate_admissions_total{operation="CREATE",outcome="leave"} 1');
    expect(text).toContain('podrate_admissions_total{operation="unknown",outcome="bad-request"} 1');
    expect(text).toContain('podrate_admission_duration_seconds_count 3');
  });

  test('asks its client to close the connection while the process is stopping', async () => {
    await new Promise((resolve) => server.close(resolve));
    await start({ isDraining: () => true });
    expect((await post().send(review(podJson({})))).headers.connection).toBe('close');
  });

  test('that the webhook fails at is an HTTP error, so that failurePolicy decides, and the log has the cause', async () => {
    await new Promise((resolve) => server.close(resolve));
    const cause = new Error('broken');
    await start({ admission: { ...admission, mutate: () => Promise.reject(cause) } });
    const { status, body } = await post().send(review(podJson({})));
    expect(status).toBe(500);
    expect(body).toMatchObject({ kind: 'Status', code: 500 });
    expect(JSON.stringify(body)).not.toContain('broken');
    expect(lines).toEqual([expect.objectContaining({ level: 'error', outcome: 'fault', uid: 'u-1', err: cause })]);
  });
});

test('a decision that its client no longer waits for is told so, and is logged as failed', async () => {
  await new Promise((resolve) => server.close(resolve));
  const begun = Promise.withResolvers<AbortSignal>();
  await start({
    admission: {
      ...admission,
      validate: (_, { signal = AbortSignal.abort() }) => {
        begun.resolve(signal);
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    },
  });
  const asking = request(url)
    .post('/validate/policy')
    .ca(ca())
    .send(review(podJson({})));
  asking.end(() => {});
  const signal = await begun.promise;
  expect(signal.aborted).toBe(false);
  asking.abort();
  await expect.poll(() => lines, { timeout: 10_000 }).toMatchObject([{ level: 'error', outcome: 'fault' }]);
  expect(String(lines[0]?.err)).toContain('The API server no longer waits for the answer.');
});

describe('a bad request', () => {
  const json = 'application/json';
  test.each([
    ['malformed JSON', json, '{"apiVersion":', 400],
    ['a JSON text', json, '"x"', 400],
    ['an empty body', json, '', 400],
    ['another content type', 'text/plain', '{}', 415],
    ['a form', 'application/x-www-form-urlencoded', 'a=b', 415],
    ['no review', json, '{}', 400],
    ['a review of nothing', json, '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', 400],
    ['more than twenty megabytes and no uid', json, `{"x":"${'x'.repeat(20 * 1024 * 1024)}"}`, 400],
    ['deeply nested JSON', json, `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 400],
  ])('with %s (%s) is answered with a status that says so', async (_, type, body, status) => {
    const answer = await post().set('Content-Type', type).send(body);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({
      kind: 'Status',
      status: 'Failure',
      code: status,
      message: expect.stringMatching(/./),
    });
    expect(lines).toEqual([expect.objectContaining({ level: 'warn', outcome: 'bad-request', code: status })]);
    expect((await post().send(review(podJson({})))).status).toBe(200);
  });

  test('with a compressed body is refused, so that a small body cannot become a large one', async () => {
    const answer = await post()
      .set('Content-Type', json)
      .set('Content-Encoding', 'gzip')
      .send(gzipSync('{}') as unknown as string);
    expect(answer.status).toBe(415);
  });

  test('to an unknown path, or with another method, is answered with 404', async () => {
    for (const path of ['/nowhere', '/mutate']) {
      const message = `There is no GET ${path} here.`;
      expect(await request(url).get(path).ca(ca())).toMatchObject({ status: 404, body: { kind: 'Status', message } });
    }
  });

  test('of any shape leaves the process alive and is never answered with a permission', async () => {
    const shapes = fc.oneof(
      fc.json(),
      fc.string(),
      fc.json().map((text) => `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":${text}}`),
    );
    await fc.assert(
      fc.asyncProperty(shapes, async (text) => {
        const { status, body } = await post().set('Content-Type', json).send(text);
        expect(status).toBeGreaterThanOrEqual(400);
        expect(status).toBeLessThan(500);
        expect(body.kind).toBe('Status');
      }),
      { numRuns: 100 },
    );
  }, 60_000);
});
