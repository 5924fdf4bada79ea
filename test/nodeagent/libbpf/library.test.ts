import { expect, test } from 'vitest';
import { loadLibrary } from '../../../nodeagent/libbpf/library.ts';

test.each([
  ['is missing', 'libbpf.so.4711', 'libbpf.so.4711 cannot be loaded: install libbpf 1.0 or newer'],
  // A library that is there and has none of the functions.
  [
    'is too old',
    'libc.so.6',
    'libc.so.6 is too old: install libbpf 1.0 or newer (Debian, Ubuntu: apt-get install libbpf1',
  ],
])('a libbpf that %s is named, with the remedy', (_, file, message) => {
  expect(() => loadLibrary(file)).toThrow(
    expect.objectContaining({ code: 'bpf/missing', message: expect.stringContaining(message) }),
  );
});
