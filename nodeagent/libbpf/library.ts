/** Loads libbpf and binds the functions that the agent calls. docs/loader.md says why it is bound this way. */
import koffi, { type LibraryHandle } from 'koffi';
import { BpfError } from './error.ts';
import { bind, type Functions } from './native.ts';

/** The name under which every distribution has libbpf 1.x. */
const fileName = 'libbpf.so.1';
/** How to get it. */
const installRemedy =
  'install libbpf 1.0 or newer (Debian, Ubuntu: apt-get install libbpf1; Fedora: dnf install libbpf)';

/** The functions as bpf.h and libbpf.h declare them. Those that return a number return a negative errno. */
const declarations = {
  bpf_obj_get: 'int bpf_obj_get(const char *path)',
  bpf_obj_pin: 'int bpf_obj_pin(int fd, const char *path)',
  bpf_obj_get_info_by_fd: 'int bpf_obj_get_info_by_fd(int fd, void *info, void *size)',
  bpf_map_create: 'int bpf_map_create(int, const char *name, uint32_t, uint32_t, uint32_t, const void *opts)',
  bpf_map_lookup_elem: 'int bpf_map_lookup_elem(int fd, const void *key, void *value)',
  bpf_map_update_elem: 'int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)',
  bpf_map_delete_elem: 'int bpf_map_delete_elem(int fd, const void *key)',
  bpf_map_get_next_key: 'int bpf_map_get_next_key(int fd, const void *key, void *next)',
  bpf_link_create: 'int bpf_link_create(int prog, int target, int type, const void *opts)',
  bpf_link_update: 'int bpf_link_update(int link, int prog, const void *opts)',
  bpf_prog_query: 'int bpf_prog_query(int target, int type, uint32_t query, void *flags, void *ids, void *count)',
  bpf_prog_get_next_id: 'int bpf_prog_get_next_id(uint32_t id, void *next)',
  bpf_prog_get_fd_by_id: 'int bpf_prog_get_fd_by_id(uint32_t id)',
  libbpf_num_possible_cpus: 'int libbpf_num_possible_cpus()',
  libbpf_major_version: 'uint32_t libbpf_major_version()',
  libbpf_minor_version: 'uint32_t libbpf_minor_version()',
  bpf_object__open_file: 'void *bpf_object__open_file(const char *path, const void *opts)',
  bpf_object__load: 'int bpf_object__load(void *object)',
  bpf_object__close: 'void bpf_object__close(void *object)',
  bpf_object__next_map: 'void *bpf_object__next_map(void *object, void *previous)',
  bpf_object__next_program: 'void *bpf_object__next_program(void *object, void *previous)',
  bpf_map__name: 'const char *bpf_map__name(void *map)',
  bpf_map__fd: 'int bpf_map__fd(void *map)',
  bpf_map__is_internal: 'bool bpf_map__is_internal(void *map)',
  bpf_map__set_pin_path: 'int bpf_map__set_pin_path(void *map, const char *path)',
  bpf_program__name: 'const char *bpf_program__name(void *program)',
  bpf_program__fd: 'int bpf_program__fd(void *program)',
} as const;

/** libbpf's functions. */
export type Libbpf = Functions<typeof declarations>;

/** Warnings of libbpf are collected up to this length, in bytes; the end of a verifier's log is what matters. */
const longestWarning = 1 << 20;

/** libbpf, loaded. */
export interface Library {
  readonly libbpf: Libbpf;
  /** Such as `1.1`. */
  readonly version: string;
  /** Returns the warnings that libbpf has written since the last call. */
  takeWarnings(): string;
}

/** One copy for each process: libbpf has one function for its warnings. */
const loaded = new Map<string, Library>();

/**
 * Loads libbpf, once in each process.
 * @param file undefined: libbpf.so.1, where the dynamic linker finds it
 * @throws BpfError `bpf/missing` with the remedy
 */
export function loadLibrary(file = fileName): Library {
  const library = loaded.get(file) ?? load(file);
  loaded.set(file, library);
  return library;
}

function load(file: string): Library {
  let problem = `${file} cannot be loaded`;
  try {
    const handle = koffi.load(file);
    problem = `${file} is too old`;
    const libbpf = bind(handle, declarations);
    const version = `${libbpf.libbpf_major_version()}.${libbpf.libbpf_minor_version()}`;
    return { libbpf, version, takeWarnings: collectWarnings(handle) };
  } catch (cause) {
    throw new BpfError('bpf/missing', problem, { remedy: installRemedy, cause });
  }
}

/** Warnings come with a C format and its arguments, which only C can put together. */
function collectWarnings(handle: LibraryHandle): () => string {
  let warnings = '';
  const text = Buffer.alloc(longestWarning);
  const format = koffi.load(null).func('int vsnprintf(void *text, size_t size, const char *format, void *args)');
  const print = koffi.proto('int print(int level, const char *format, void *args)');
  const collect = (level: number, template: string, args: unknown) => {
    const length: number = level === 0 ? format(text, text.length, template, args) : 0;
    warnings += text.toString('utf8', 0, Math.min(length, text.length - 1));
    return 0;
  };
  handle.func('libbpf_set_print', 'void *', [koffi.pointer(print)])(koffi.register(collect, koffi.pointer(print)));
  return () => {
    const taken = warnings;
    warnings = '';
    return taken;
  };
}
