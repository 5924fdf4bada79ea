/** Reads and writes pinned maps. */
import { closeSync } from 'node:fs';
import { call, callUnless, openPin, readInfo } from './call.ts';
import type { Libbpf } from './library.ts';
import { little } from './native.ts';

/** An open map. */
export type BpfMap = ReturnType<typeof mapOf>;

/** The flags of an update: include/uapi/linux/bpf.h. */
const [any, onlyNew, onlyExisting] = [0, 1, 2];
/** struct bpf_map_info: type, id, key_size, value_size, max_entries. */
const infoBytes = 20;
/** BPF_MAP_TYPE_ARRAY. */
const array = 2;

/** Opens a pinned map. @throws BpfError */
export function openMap(path: string): BpfMap {
  return mapOf(openPin(path), path);
}

/**
 * Returns an open map. Keys and values are in the kernel's layout. All verbs throw BpfError.
 * @param descriptor its file descriptor, which close() closes
 * @param path its name in errors
 */
export function mapOf(descriptor: number, path: string) {
  const info = readInfo(descriptor, infoBytes);
  const [keySize, valueSize, maxEntries] = [
    info.getUint32(8, little),
    info.getUint32(12, little),
    info.getUint32(16, little),
  ];
  const [reading, writing] = [`read ${path}`, `write ${path}`];
  const perCpuBytes = Math.ceil(valueSize / 8) * 8;
  const cpus = call('count CPUs', (libbpf) => libbpf.libbpf_num_possible_cpus());
  const write = (key: Uint8Array, value: Uint8Array, flags: number) => (libbpf: Libbpf) =>
    libbpf.bpf_map_update_elem(descriptor, key, value, flags);

  return {
    /** Bytes of a value. */
    valueSize,
    /** @returns undefined if the map has no such entry */
    lookup(key: Uint8Array): Uint8Array | undefined {
      const value = new Uint8Array(valueSize);
      const found = callUnless('ENOENT', reading, (libbpf) => libbpf.bpf_map_lookup_elem(descriptor, key, value));
      return found === undefined ? undefined : value;
    },
    /** Reads the values of a per-CPU map, one for each possible CPU. */
    lookupPerCpu(key: Uint8Array): Uint8Array[] {
      const values = new Uint8Array(perCpuBytes * cpus);
      call(reading, (libbpf) => libbpf.bpf_map_lookup_elem(descriptor, key, values));
      return Array.from({ length: cpus }, (_, cpu) =>
        values.subarray(cpu * perCpuBytes, cpu * perCpuBytes + valueSize),
      );
    },
    /** Writes an entry, whether or not it exists. */
    update: (key: Uint8Array, value: Uint8Array) => void call(writing, write(key, value, any)),
    /** Writes an entry that must not exist. @returns whether it did not */
    insert: (key: Uint8Array, value: Uint8Array) =>
      callUnless('EEXIST', writing, write(key, value, onlyNew)) !== undefined,
    /** Writes an entry that must exist. @returns whether it did */
    replace: (key: Uint8Array, value: Uint8Array) =>
      callUnless('ENOENT', writing, write(key, value, onlyExisting)) !== undefined,
    /** Clears an entry of a per-CPU map. */
    clearPerCpu: (key: Uint8Array) => void call(writing, write(key, new Uint8Array(perCpuBytes * cpus), any)),
    /** Removes an entry; one that is not there is no error. */
    delete(key: Uint8Array): void {
      callUnless('ENOENT', writing, (libbpf) => libbpf.bpf_map_delete_elem(descriptor, key));
    },
    /** Returns all keys, in no order. */
    keys(): Uint8Array[] {
      const keys: Uint8Array[] = [];
      // A key that vanishes meanwhile starts the walk anew: it ends after as many steps as the map has room for.
      for (let last: Uint8Array | null = null; keys.length <= maxEntries; ) {
        const [before, next]: [Uint8Array | null, Uint8Array] = [last, new Uint8Array(keySize)];
        const found = callUnless('ENOENT', reading, (libbpf) => libbpf.bpf_map_get_next_key(descriptor, before, next));
        if (found === undefined) break;
        keys.push(next);
        last = next;
      }
      return keys;
    },
    close: () => closeSync(descriptor),
  };
}

/** Makes the smallest map and gives it back, to see whether the kernel allows bpf(). @throws BpfError */
export function probeMap(): void {
  const what = 'make a BPF map';
  closeSync(call(what, (libbpf) => libbpf.bpf_map_create(array, 'podrate_probe', 4, 4, 1, null)));
}
