/** Functions and numbers of C. */
import { endianness } from 'node:os';
import type { LibraryHandle } from 'koffi';

/** Whether this machine's numbers begin with the lowest byte. */
export const little = endianness() === 'LE';

/** A pointer that a C library gave and takes back. Null where a function failed. */
export type Pointer = object | null;

/** Numbers, texts, pointers, and bytes that a function reads or fills in place. koffi checks them at the call. */
type Argument = number | string | Pointer;

type Result<Declaration> = Declaration extends `void *${string}`
  ? Pointer
  : Declaration extends `const char *${string}`
    ? string
    : Declaration extends `bool ${string}`
      ? boolean
      : number;

/** Functions by their names. */
export type Functions<Declarations> = {
  readonly [Name in keyof Declarations]: (...values: readonly Argument[]) => Result<Declarations[Name]>;
};

/** Binds functions of a library. @param declarations in C, by name @throws Error if the library lacks one */
export function bind<Declarations extends Readonly<Record<string, string>>>(
  library: LibraryHandle,
  declarations: Declarations,
): Functions<Declarations> {
  const bound = Object.entries(declarations).map(([name, declaration]) => [name, library.func(declaration)]);
  return Object.fromEntries(bound) as Functions<Declarations>;
}
