import type { Pod } from './pod.ts';

/** An operation of a JSON patch (RFC 6902), of the kinds that the webhook needs. */
export type Operation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: string | Readonly<Record<string, string>> }
  | { readonly op: 'remove'; readonly path: string };

/**
 * Gives the operations that set labels or annotations of a pod to what is wanted, in order; none where all is right already.
 * @param wanted key to value; undefined removes the key
 */
export function setStrings(
  pod: Pod,
  field: 'labels' | 'annotations',
  wanted: ReadonlyMap<string, string | undefined>,
): Operation[] {
  const parent = `/metadata/${field}`;
  const present = pod.metadata[field] ?? undefined;
  const operations: Operation[] = [];
  for (const [key, value] of wanted) {
    const old = present !== undefined && Object.hasOwn(present, key) ? present[key] : undefined;
    if (old === value) continue;
    const path = `${parent}/${pointerToken(key)}`;
    if (value === undefined) operations.push({ op: 'remove', path });
    else operations.push({ op: old === undefined ? 'add' : 'replace', path, value });
  }
  // An absent parent is made only if something goes into it; replacing one that is there would lose its other members.
  if (present === undefined && operations.length > 0) return [{ op: 'add', path: parent, value: {} }, ...operations];
  return operations;
}

// RFC 6901, section 3.
function pointerToken(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
