import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { execa } from 'execa';
import request from 'supertest';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { writePair } from '../certs/pairs.ts';
import { podJson } from './admission/pods.ts';
import { jsonLines } from './json-lines.ts';
import { useCertificates } from './tls.ts';

// Whole processes: starting one takes a second or more on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const sets = useCertificates();
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'podrate-webhook-'));
  await writeFile(join(folder, 'kubeconfig'), JSON.stringify(awayCluster));
});
afterEach(() => rm(folder, { recursive: true }));

/** A cluster whose API server does not answer. */
const awayCluster = {
  clusters: [{ name: 'away', cluster: { server: 'http://127.0.0.1:1', 'insecure-skip-tls-verify': true } }],
  users: [{ name: 'webhook', user: { token: 'secret' } }],
  contexts: [{ name: 'away', context: { cluster: 'away', user: 'webhook' } }],
  'current-context': 'away',
};

/** Starts the program; `line` waits for the log line with a message. */
function start(...args: string[]) {
  const cluster = ['--kubeconfig', join(folder, 'kubeconfig')];
  const child = execa(
    process.execPath,
    ['webhook/main.ts', ...['--port', '0', '--http-port', '0', '--tls-dir', folder], ...cluster, ...args],
    { reject: false, killSignal: 'SIGTERM' },
  );
  const lines = jsonLines(child.stdout);
  const line = (message: string) =>
    vi.waitFor(
      () => {
        const found = lines.find(({ msg }) => msg === message);
        if (found === undefined) throw new Error(`no line "${message}" in ${JSON.stringify(lines)}`);
        return found;
      },
      { timeout: 30_000 },
    );
  return { child, lines, line };
}

const review = {
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    uid: 'u-1',
    operation: 'CREATE',
    resource: { resource: 'pods' },
    object: podJson({ labels: { rate: '1M' } }),
  },
};

test('the program waits for its certificate, serves, takes a new one, and ends with code 0 on SIGTERM', async () => {
  const { child, line, lines } = start('--tls-poll', '0.1', '--drain', '0.5', '--log-level', 'debug');
  const http = `http://localhost:${(await line('probes and metrics')).httpPort}`;
  await line('certificate check failed');
  expect(await request(http).get('/healthz')).toMatchObject({ status: 200 });
  expect(await request(http).get('/readyz')).toMatchObject({ status: 503, text: 'waiting for the certificate\n' });

  const { first, second } = sets();
  const ca = first.authority.certificate;
  await writePair(folder, first.serving);
  const https = `https://localhost:${(await line('listening')).port}`;
  expect(await request(http).get('/readyz')).toMatchObject({ status: 200 });
  const answer = await request(https).post('/mutate').ca(ca).send(review);
  expect(answer.body.response).toMatchObject({ uid: 'u-1', allowed: true, patchType: 'JSONPatch' });

  await writePair(folder, second.serving);
  await line('certificate renewed');
  expect((await request(https).post('/mutate').ca(ca).send(review)).status).toBe(200);
  expect((await request(http).get('/metrics')).text).toMatch(
    /podrate_webhook_certificate_expiry_timestamp_seconds 1\.?\d+/,
  );

  child.kill('SIGTERM');
  await line('draining');
  expect(await request(http).get('/readyz')).toMatchObject({ status: 503, text: 'stopping\n' });
  const last = await request(https).post('/mutate').ca(ca).set('Connection', 'keep-alive').send(review);
  expect(last).toMatchObject({ status: 200, headers: { connection: 'close' } });
  expect(await child).toMatchObject({ exitCode: 0 });
  expect(lines.at(-1)).toMatchObject({ msg: 'stopped' });
  expect(lines.filter(({ msg }) => msg === 'admission')).toHaveLength(3);
});

test('the program can be stopped while it waits for its certificate', async () => {
  const { child, line } = start();
  await line('certificate check failed');
  child.kill('SIGTERM');
  expect(await child).toMatchObject({ exitCode: 0 });
});

test('wrong usage ends with code 2 and a pointer to the help, a taken port with code 1', async () => {
  const wrong = await start('--label-key', '').child;
  expect(wrong).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('Try --help.') });
  const outside = await execa(process.execPath, ['webhook/main.ts'], { reject: false });
  expect(outside).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('Outside of a cluster, --kubeconfig is needed.'),
  });
  const { child, line } = start();
  const { httpPort } = await line('probes and metrics');
  const second = await start('--http-port', String(httpPort)).child;
  expect(second).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('EADDRINUSE') });
  child.kill('SIGTERM');
  await child;
});

test('the help names every option', async () => {
  const { stdout, exitCode } = await execa(process.execPath, ['webhook/main.ts', '--help']);
  expect(exitCode).toBe(0);
  expect(stdout).toContain('--label-key KEY');
});
