/**
 * Shapes of the two things in a review that can have very many members. Each is read up to its first fault: Zod's own records and
 * arrays report every one, and a body of seven megabytes has room for millions, whose reports take gigabytes and many seconds.
 */
import { z } from 'zod';

type Found = { readonly path: (string | number)[]; readonly message: string } | undefined;

/** Labels or annotations. */
export const stringMap = upToFirstFault<Readonly<Record<string, string>>>('object', (map) => {
  for (const [key, value] of Object.entries(map)) {
    if (typeof value !== 'string') return { path: [key], message: `expected string, received ${typeName(value)}` };
  }
  return undefined;
});

/** Owner references, of which only the controller's mark is read. */
export const ownerList = upToFirstFault<readonly { readonly controller?: boolean | null }[]>('array', (owners) => {
  for (const [index, owner] of owners.entries()) {
    if (typeName(owner) !== 'object') return { path: [index], message: `expected object, received ${typeName(owner)}` };
    const controller = owner.controller ?? false;
    if (typeof controller !== 'boolean') {
      return { path: [index, 'controller'], message: `expected boolean, received ${typeName(controller)}` };
    }
  }
  return undefined;
});

function upToFirstFault<T extends object>(type: 'object' | 'array', find: (input: T) => Found) {
  return z
    .custom<T>((input) => typeName(input) === type, {
      abort: true,
      error: ({ input }) => `Invalid input: expected ${type}, received ${typeName(input)}`,
    })
    .check(({ value, issues }) => {
      const found = find(value);
      if (found === undefined) return;
      issues.push({ code: 'custom', input: value, path: found.path, message: `Invalid input: ${found.message}` });
    });
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
