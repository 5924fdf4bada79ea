/** Readers of the fields of untrusted JSON. Each stops at the first fault, in time linear in the size of its field. */
import type { Labels } from '../../rate/limit.ts';
import { quote } from '../../rate/quote.ts';

/** A field that has another type than Kubernetes gives it. The message names the field. */
export class FieldError extends Error {
  override readonly name = 'FieldError';
  readonly code = 'review/field';

  constructor(path: string, expected: string, value: unknown) {
    super(`the field ${path} must be ${expected}, not ${typeName(value)}`);
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** Returns an object's fields. @throws FieldError */
export function fieldsOf(value: unknown, path: string): Fields {
  if (typeName(value) !== 'object') throw new FieldError(path, 'an object', value);
  return value as Fields;
}

/** Returns an object's fields; none for one that is absent or null. @throws FieldError */
export function optionalFields(value: unknown, path: string): Fields {
  return value === undefined || value === null ? {} : fieldsOf(value, path);
}

/** Returns a text; undefined for one that is absent or null. @throws FieldError */
export function optionalText(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw new FieldError(path, 'a string', value);
  return value;
}

/** Returns a list; an empty one for one that is absent or null. @throws FieldError */
export function optionalList(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new FieldError(path, 'an array', value);
  return value;
}

/** Returns labels or annotations; undefined for those that are absent or null. @throws FieldError */
export function optionalStrings(value: unknown, path: string): Labels {
  if (value === undefined || value === null) return undefined;
  const map = fieldsOf(value, path);
  for (const [key, text] of Object.entries(map)) {
    if (typeof text !== 'string') throw new FieldError(`${path}[${quote(key)}]`, 'a string', text);
  }
  return map as Labels;
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
