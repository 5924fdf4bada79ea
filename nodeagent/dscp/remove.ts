/** Takes all marks off network namespaces. */

import type { NetworkNamespace } from '../net/namespaces.ts';
import type { Marker } from './marker.ts';

/**
 * Removes every filter of ours from namespaces, whoever asked for it.
 * @returns what went wrong, one error for each namespace
 */
export async function unmark(marker: Marker, namespaces: readonly NetworkNamespace[]): Promise<Error[]> {
  const errors: Error[] = [];
  if (!(await marker.isUsed())) return errors;
  for (const { file } of namespaces) {
    try {
      await marker.clear(file);
    } catch (error) {
      errors.push(error instanceof Error ? error : new Error(String(error)));
    }
  }
  return errors;
}
