import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadPair } from '../../../webhook/tls/certificate.ts';
import { useCertificates } from '../tls.ts';

const sets = useCertificates();
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'podrate-tls-'));
});
afterEach(() => rm(folder, { recursive: true }));

const write = (cert: string | undefined, key: string | undefined) =>
  Promise.all([
    cert === undefined ? undefined : writeFile(join(folder, 'tls.crt'), cert),
    key === undefined ? undefined : writeFile(join(folder, 'tls.key'), key),
  ]);

test('a pair that belongs together is read with its expiry', async () => {
  const { certificate, key } = sets().first.serving;
  await write(certificate, key);
  const pair = await loadPair(folder);
  expect(pair).toMatchObject({ cert: certificate, key });
  expect(pair.expires.getTime()).toBeGreaterThan(Date.now() + 9 * 86_400_000);
});

test('missing, half-written and mismatched files are told apart', async () => {
  const { first, second } = sets();
  await expect(loadPair(folder)).rejects.toThrow('no such file');
  await write(first.serving.certificate, undefined);
  await expect(loadPair(folder)).rejects.toThrow('no such file');
  await write(undefined, second.serving.key);
  await expect(loadPair(folder)).rejects.toThrow('tls.key are no pair: they do not belong together.');
  await write(first.serving.certificate.slice(0, 500), first.serving.key);
  await expect(loadPair(folder)).rejects.toThrow(/are no pair: .*PEM/i);
  await write('', '');
  await expect(loadPair(folder)).rejects.toThrow('are no pair');
});
