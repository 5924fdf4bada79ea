import type { Clock } from '../cluster/clock.ts';
import { type CertificateSink, loadPair } from './certificate.ts';

/** Which files are watched, and how often. */
export interface MountedOptions {
  /** The folder with tls.crt and tls.key. */
  readonly folder: string;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Watches a certificate that another program writes, such as cert-manager, until the signal is aborted. It compares the
 * files' content: a Secret volume replaces a symbolic link two folders up, which file watches miss. The last good pair
 * stays in use through failures.
 */
export async function watchMountedCertificate(options: MountedOptions, sink: CertificateSink): Promise<void> {
  const { folder, intervalMs, clock, signal } = options;
  let current: string | undefined;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const pair = await loadPair(folder);
      failures = 0;
      const content = pair.cert + pair.key;
      if (content !== current) sink.onPair(pair);
      current = content;
    } catch (error) {
      failures += 1;
      sink.onFailure(error, failures);
    }
    await clock.sleep(current === undefined ? Math.min(intervalMs, firstIntervalMs) : intervalMs, signal);
  }
}

/** Admission waits for the first certificate. */
const firstIntervalMs = 1_000;
