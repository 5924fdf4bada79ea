/** What kept a quota from being decided; a stable name, for programs. */
export type QuotaErrorCode = 'quota/ledger' | 'quota/contention' | 'quota/full' | 'quota/request';

/** The webhook's own fault: nothing was decided about the pod. */
export class QuotaError extends Error {
  override readonly name = 'QuotaError';
  readonly code: QuotaErrorCode;

  constructor(code: QuotaErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}
