import type { ServingPair } from './certificate.ts';

/** What a source of certificates reports to. */
export interface CertificateSink {
  /** Called with each pair to serve. */
  readonly onPair: (pair: ServingPair) => void;
  /** Called with the reason why API servers may not trust the pair; undefined if they do. */
  readonly onTrust: (distrust: string | undefined) => void;
  readonly onFailure: (error: unknown, failuresInARow: number) => void;
}
