import { setTimeout as delay } from 'node:timers/promises';
import { CertificateError, type ServingPair } from './certificate.ts';

/** How certificates are waited for and watched. */
export interface WatchOptions {
  /** Reads and checks the pair; throws CertificateError. */
  readonly load: () => Promise<ServingPair>;
  readonly intervalMs: number;
  /** Ends the waiting and the watching. */
  readonly signal: AbortSignal;
  /** Called for each attempt that failed. */
  readonly onFailure: (error: CertificateError, failuresInARow: number) => void;
}

/** How a certificate in use is watched. */
export interface RenewalOptions extends WatchOptions {
  /** The pair in use. */
  readonly current: ServingPair;
  /** Takes a new pair into use. */
  readonly onRenewal: (pair: ServingPair) => void;
  /** After so many failures in a row the watch gives up. */
  readonly maxFailures: number;
}

/**
 * Waits until there is a usable pair: in a new installation the webhook's pod starts before the Job has made one.
 * @throws the signal's reason when it is aborted
 */
export async function awaitPair({ load, intervalMs, signal, onFailure }: WatchOptions): Promise<ServingPair> {
  for (let failures = 1; ; failures += 1) {
    signal.throwIfAborted();
    try {
      return await load();
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      onFailure(error, failures);
    }
    await delay(intervalMs, undefined, { signal });
  }
}

/**
 * Looks for a new pair at each interval and takes it into use once it is whole. Polling and comparing beats watching the files:
 * a Secret volume replaces a symbolic link two folders up, which file watches miss. The last good pair stays in use through
 * failures; too many in a row are thrown, because a restart may help and silence until the certificate expires would not.
 * @returns when the signal is aborted
 * @throws CertificateError after maxFailures failures in a row
 */
export async function watchPair(options: RenewalOptions): Promise<void> {
  const { load, intervalMs, signal, onFailure, onRenewal, maxFailures } = options;
  let { current } = options;
  let failures = 0;
  while (await pause(intervalMs, signal)) {
    try {
      const found = await load();
      failures = 0;
      if (found.cert === current.cert && found.key === current.key) continue;
      onRenewal(found);
      current = found;
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      failures += 1;
      onFailure(error, failures);
      if (failures >= maxFailures) throw error;
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(ms, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}
