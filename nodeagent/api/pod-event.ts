import type { LimitedCondition } from './limited-condition.ts';

/** What an event about a pod says, beside the pod. */
export interface PodEvent {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, for programs. */
  readonly reason: 'RateApplied' | 'RateUpdated' | 'RateRemoved' | 'RateFailed';
  /** For people, at most 1024 bytes. */
  readonly note: string;
}

/**
 * The event of a pod's condition that was written.
 * @param before the status of the condition that the pod had until then; undefined if it had none
 */
export function podEvent(before: string | undefined, { status, reason, message }: LimitedCondition): PodEvent {
  if (status === 'True') {
    return { type: 'Normal', reason: before === 'True' ? 'RateUpdated' : 'RateApplied', note: cut(message) };
  }
  const isWanted = reason === 'NoLimit' || reason === 'Uninstalled';
  return isWanted
    ? { type: 'Normal', reason: 'RateRemoved', note: cut(message) }
    : { type: 'Warning', reason: 'RateFailed', note: cut(message) };
}

// The API server refuses longer notes; a character of another script than Latin takes up to four bytes.
function cut(message: string): string {
  const bytes = Buffer.from(message);
  return bytes.length <= 1024
    ? message
    : `${new TextDecoder().decode(bytes.subarray(0, 1015)).replace(/\ufffd+$/, '')}…`;
}
