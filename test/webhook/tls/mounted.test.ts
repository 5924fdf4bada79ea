import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { watchMountedCertificate } from '../../../webhook/tls/mounted.ts';
import { writePair } from '../../certs/pairs.ts';
import { useCertificates } from '../tls.ts';

const sets = useCertificates();
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'podrate-tls-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Watches the folder; before each wait the next change is made. @returns what was reported, and the waits */
async function watch(...changes: (() => Promise<unknown>)[]) {
  const stop = new AbortController();
  const reports: string[] = [];
  const waits: number[] = [];
  const clock = {
    nowMs: () => 0,
    async sleep(ms: number) {
      waits.push(ms);
      const change = changes.shift();
      if (change === undefined) stop.abort();
      else await change();
    },
  };
  await watchMountedCertificate(
    { folder, intervalMs: 10_000, clock, signal: stop.signal },
    {
      onPair: ({ cert }) => reports.push(cert),
      onTrust: (reason) => reports.push(`trust: ${reason}`),
      onFailure: (error, inARow) => reports.push(`${inARow}: ${String(error).replace(/.*: /, '')}`),
    },
  );
  return { reports, waits };
}

const unchanged = async () => {};

test('the first certificate is served once it is there, a later one once it is whole, and an equal one never again', async () => {
  const { first, second } = sets();
  const { reports, waits } = await watch(
    () => writePair(folder, first.serving),
    unchanged,
    () => writeFile(join(folder, 'tls.key'), second.serving.key),
    unchanged,
    () => writePair(folder, second.serving),
    unchanged,
  );
  expect(reports).toEqual([
    expect.stringContaining('1: no such file'),
    first.serving.certificate,
    '1: they do not belong together.',
    '2: they do not belong together.',
    second.serving.certificate,
  ]);
  expect(waits).toEqual([1_000, ...Array(6).fill(10_000)]);
});
