/** Loads compiled objects. */
import { call } from './call.ts';
import { BpfError } from './error.ts';
import { loadLibrary } from './library.ts';
import { attachTypes } from './link.ts';
import type { Pointer } from './native.ts';

/** A loaded object. What is not pinned of it goes with it. */
export interface BpfObject {
  /** The file descriptors of programs and maps by their names; they end with close(). */
  readonly programs: ReadonlyMap<string, number>;
  readonly maps: ReadonlyMap<string, number>;
  close(): void;
}

/** So much of a verifier's log is shown: its end says what is wrong. */
const shownLines = 12;

/**
 * Loads an object into the kernel.
 * @param mapPin where a map is pinned by its name: one that is there already is used, if it is of the same kind; undefined
 * for one that is the object's own
 * @throws BpfError `bpf/object`
 */
export function loadObject(file: string, mapPin: (name: string) => string | undefined): BpfObject {
  const { libbpf, takeWarnings } = loadLibrary();
  takeWarnings();
  const object = libbpf.bpf_object__open_file(file, null);
  if (object === null) throw unloadable(`${file} is no compiled BPF object`, takeWarnings());
  const close = () => libbpf.bpf_object__close(object);
  const maps = each(libbpf.bpf_object__next_map, object);
  try {
    for (const map of maps) {
      const path = libbpf.bpf_map__is_internal(map) ? undefined : mapPin(libbpf.bpf_map__name(map));
      if (path !== undefined) call(`pin ${path}`, () => libbpf.bpf_map__set_pin_path(map, path));
    }
    if (libbpf.bpf_object__load(object) < 0) throw unloadable(`the kernel refuses ${file}`, takeWarnings());
  } catch (error) {
    close();
    throw error;
  }
  const programs = each(libbpf.bpf_object__next_program, object);
  return {
    programs: new Map(programs.map((one) => [libbpf.bpf_program__name(one), libbpf.bpf_program__fd(one)])),
    maps: new Map(maps.map((one) => [libbpf.bpf_map__name(one), libbpf.bpf_map__fd(one)])),
    close,
  };
}

/**
 * Makes an iterator: whoever opens and reads its pin runs the program.
 * @param program its file descriptor
 * @returns the file descriptor of its link
 * @throws BpfError
 */
export function createIterator(program: number): number {
  return call('make an iterator', (libbpf) => libbpf.bpf_link_create(program, 0, attachTypes.iterator, null));
}

function each(next: (object: Pointer, previous: Pointer) => Pointer, object: Pointer): Pointer[] {
  const found: Pointer[] = [];
  for (let one = next(object, null); one !== null; one = next(object, one)) found.push(one);
  return found;
}

/** libbpf says what is wrong in its warnings, the verifier's log among them. */
function unloadable(problem: string, warnings: string): BpfError {
  const lines = warnings
    .split('\n')
    .map((line) => line.replace(/^libbpf: /, '').trim())
    .filter((line) => line !== '' && !/^-- (BEGIN|END) PROG LOAD LOG --$/.test(line));
  const reason = lines.slice(-shownLines).join('\n');
  const errno = /Operation not permitted|-EPERM|\(-1\)|: -1$/m.test(warnings) ? 'EPERM' : undefined;
  return new BpfError('bpf/object', reason === '' ? problem : `${problem}: ${reason}`, { errno });
}
