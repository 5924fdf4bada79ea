import type { Labels } from '../../rate/limit.ts';
import type { Labelled } from './pod.ts';

/** An operation of a JSON patch (RFC 6902), of the kinds that the webhook needs. */
export type Operation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: string | NonNullable<Labels> }
  | { readonly op: 'remove'; readonly path: string };

/**
 * Returns the operations, in order, that give labels or annotations their desired values; none where all are right.
 * @param desired key to value; undefined removes the key
 */
export function setStrings(
  object: Labelled,
  field: 'labels' | 'annotations',
  desired: ReadonlyMap<string, string | undefined>,
): Operation[] {
  const parent = `/metadata/${field}`;
  const present = object[field];
  const operations: Operation[] = [];
  for (const [key, value] of desired) {
    const old = present !== undefined && Object.hasOwn(present, key) ? present[key] : undefined;
    if (old === value) continue;
    const path = `${parent}/${pointerToken(key)}`;
    if (value === undefined) operations.push({ op: 'remove', path });
    else operations.push({ op: old === undefined ? 'add' : 'replace', path, value });
  }
  // Only an absent parent is made: replacing one would lose its other members.
  if (present === undefined && operations.length > 0) return [{ op: 'add', path: parent, value: {} }, ...operations];
  return operations;
}

// RFC 6901, section 3.
function pointerToken(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
