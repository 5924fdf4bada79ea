/** Takes all marks off network namespaces. */

import type { NetworkNamespace } from '../net/namespaces.ts';
import type { Marker } from './marker.ts';

/**
 * Removes every filter of ours from namespaces, whoever asked for it.
 * @returns what went wrong, one error for each namespace
 */
export function unmark(marker: Marker, namespaces: readonly NetworkNamespace[]): Error[] {
  const errors: Error[] = [];
  if (!marker.isUsed()) return errors;
  for (const { file } of namespaces) {
    try {
      marker.clear(file);
    } catch (error) {
      errors.push(error instanceof Error ? error : new Error(String(error)));
    }
  }
  return errors;
}
