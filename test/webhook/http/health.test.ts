import request from 'supertest';
import { expect, test } from 'vitest';
import { createHealthApp } from '../../../webhook/http/health.ts';
import { createMetrics } from '../../../webhook/http/metrics.ts';

const app = (reason?: string) =>
  createHealthApp({ registry: createMetrics().registry, unreadyReason: () => reason, logError: () => {} });

test('the process is healthy while it answers, also when it is not ready', async () => {
  expect(await request(app('stopping')).get('/healthz')).toMatchObject({ status: 200, text: 'ok\n' });
});

test('readiness says why not', async () => {
  expect(await request(app()).get('/readyz')).toMatchObject({ status: 200, text: 'ok\n' });
  expect(await request(app('waiting')).get('/readyz')).toMatchObject({ status: 503, text: 'waiting\n' });
});

test('metrics are in the format of Prometheus', async () => {
  const { text, headers } = await request(app()).get('/metrics');
  expect(headers['content-type']).toContain('text/plain; version=0.0.4');
  expect(text).toContain('# TYPE podrate_admissions_total counter');
  expect(text).toContain('process_resident_memory_bytes');
});

test('other paths and methods are refused', async () => {
  expect((await request(app()).get('/mutate')).status).toBe(404);
  expect((await request(app()).post('/metrics')).status).toBe(404);
});
