import { expect, test } from 'vitest';
import { CertificateError, type ServingPair } from '../../../webhook/tls/certificate.ts';
import { awaitPair, watchPair } from '../../../webhook/tls/certificate-watch.ts';

const pair = (name: string): ServingPair => ({ cert: name, key: name, expires: new Date(0), serial: name });
const broken = new CertificateError('certificate/mismatch', 'half written');

/** Loads what a script says, one entry a time; the last one stays. */
function script(...entries: (ServingPair | Error)[]): () => Promise<ServingPair> {
  return async () => {
    const entry = entries.length > 1 ? entries.shift() : entries[0];
    if (entry === undefined || entry instanceof Error) throw entry;
    return entry;
  };
}

test('waiting ends with the first usable pair and tells of each failure', async () => {
  const failures: number[] = [];
  const found = await awaitPair({
    load: script(broken, broken, pair('a')),
    intervalMs: 1,
    signal: new AbortController().signal,
    onFailure: (_, inARow) => failures.push(inARow),
  });
  expect(found.cert).toBe('a');
  expect(failures).toEqual([1, 2]);
});

test('waiting ends when the process is told to stop', async () => {
  const stop = new AbortController();
  const waiting = awaitPair({ load: script(broken), intervalMs: 60_000, signal: stop.signal, onFailure: () => {} });
  stop.abort();
  await expect(waiting).rejects.toThrow('aborted');
});

test('a new pair is taken into use once, an equal one never, and failures in between only counted', async () => {
  const stop = new AbortController();
  const renewals: string[] = [];
  const failures: number[] = [];
  await watchPair({
    load: script(pair('a'), broken, broken, pair('b'), pair('b'), broken, pair('b'), pair('c')),
    intervalMs: 1,
    signal: stop.signal,
    current: pair('a'),
    maxFailures: 3,
    onFailure: (_, inARow) => failures.push(inARow),
    onRenewal: ({ cert }) => {
      renewals.push(cert);
      if (cert === 'c') stop.abort();
    },
  });
  expect(renewals).toEqual(['b', 'c']);
  expect(failures).toEqual([1, 2, 1]);
});

test('the watch gives up after too many failures in a row', async () => {
  const watching = watchPair({
    load: script(broken),
    intervalMs: 1,
    signal: new AbortController().signal,
    current: pair('a'),
    maxFailures: 3,
    onFailure: () => {},
    onRenewal: () => {},
  });
  await expect(watching).rejects.toBe(broken);
});

test('an error that is not about the certificate is not swallowed', async () => {
  const fault = new TypeError('fault');
  const options = { load: script(fault), intervalMs: 1, signal: new AbortController().signal, onFailure: () => {} };
  await expect(awaitPair(options)).rejects.toBe(fault);
  await expect(watchPair({ ...options, current: pair('a'), maxFailures: 9, onRenewal: () => {} })).rejects.toBe(fault);
});
