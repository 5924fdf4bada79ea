/** Loads compiled objects. */
import { call, pin, withDescriptor } from './call.ts';
import { BpfError } from './error.ts';
import { loadLibrary, type Pointer } from './library.ts';
import { attachTypes } from './link.ts';

/** A loaded object. What is not pinned of it goes with it. */
export interface BpfObject {
  /** The programs' file descriptors by name; they end with close(). */
  readonly programs: ReadonlyMap<string, number>;
  /** The maps' file descriptors by name; they end with close(). */
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
  try {
    for (const map of each(libbpf.bpf_object__next_map, object)) {
      const path = libbpf.bpf_map__is_internal(map) ? undefined : mapPin(libbpf.bpf_map__name(map));
      if (path !== undefined) call(`pin ${path}`, () => libbpf.bpf_map__set_pin_path(map, path));
    }
    if (libbpf.bpf_object__load(object) < 0) throw unloadable(`the kernel refuses ${file}`, takeWarnings());
  } catch (error) {
    libbpf.bpf_object__close(object);
    throw error;
  }
  const programs = each(libbpf.bpf_object__next_program, object).map((program): [string, number] => [
    libbpf.bpf_program__name(program),
    libbpf.bpf_program__fd(program),
  ]);
  const maps = each(libbpf.bpf_object__next_map, object).map((map): [string, number] => [
    libbpf.bpf_map__name(map),
    libbpf.bpf_map__fd(map),
  ]);
  return { programs: new Map(programs), maps: new Map(maps), close: () => libbpf.bpf_object__close(object) };
}

/** Pins an iterator: whoever opens and reads the pin runs the program. @param program its file descriptor @throws BpfError */
export function pinIterator(program: number, path: string): void {
  const what = `make the iterator ${path}`;
  const link = call(what, (libbpf) => libbpf.bpf_link_create(program, 0, attachTypes.iterator, null));
  withDescriptor(link, () => pin(link, path));
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
  const message = reason === '' ? problem : `${problem}: ${reason}`;
  return new BpfError('bpf/object', message, errno === undefined ? {} : { errno });
}
