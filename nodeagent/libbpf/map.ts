/** Reads and writes pinned maps. */
import { closeSync } from 'node:fs';
import { call, callUnless, openPin, readInfo } from './call.ts';
import type { Libbpf } from './library.ts';
import { little } from './native.ts';

/** An open map. Keys and values are in the kernel's layout. */
export interface BpfMap {
  /** Bytes of a key, and of a value. */
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** @returns undefined if the map has no such entry @throws BpfError */
  lookup(key: Uint8Array): Uint8Array | undefined;
  /** Reads the values of a per-CPU map, one for each possible CPU. @throws BpfError */
  lookupPerCpu(key: Uint8Array): Uint8Array[];
  /** Writes an entry, whether or not it exists. @throws BpfError */
  update(key: Uint8Array, value: Uint8Array): void;
  /** Writes an entry that must not exist. @returns whether it did not @throws BpfError */
  insert(key: Uint8Array, value: Uint8Array): boolean;
  /** Writes an entry that must exist. @returns whether it did @throws BpfError */
  replace(key: Uint8Array, value: Uint8Array): boolean;
  /** Clears an entry of a per-CPU map. @throws BpfError */
  clearPerCpu(key: Uint8Array): void;
  /** Removes an entry. @returns whether there was one @throws BpfError */
  delete(key: Uint8Array): boolean;
  /** Returns all keys, in no order. @throws BpfError */
  keys(): Uint8Array[];
  close(): void;
}

/** The flags of an update: include/uapi/linux/bpf.h. */
const [any, onlyNew, onlyExisting] = [0, 1, 2];
/** struct bpf_map_info: type, id, key_size, value_size, max_entries. */
const infoBytes = 20;

/** Opens a pinned map. @throws BpfError */
export function openMap(path: string): BpfMap {
  return mapOf(openPin(path), path);
}

/** Returns an open map. @param descriptor its file descriptor, which close() closes @param path its name in errors */
export function mapOf(descriptor: number, path: string): BpfMap {
  const info = readInfo(descriptor, infoBytes);
  const [keySize, valueSize, maxEntries] = [8, 12, 16].map((offset) => info.getUint32(offset, little)) as [
    number,
    number,
    number,
  ];
  const write = (key: Uint8Array, value: Uint8Array, flags: number) => (libbpf: Libbpf) =>
    libbpf.bpf_map_update_elem(descriptor, key, value, flags);
  const perCpuBytes = Math.ceil(valueSize / 8) * 8;
  const cpus = call('count CPUs', (libbpf) => libbpf.libbpf_num_possible_cpus());

  return {
    keySize,
    valueSize,
    maxEntries,
    lookup(key) {
      const value = new Uint8Array(valueSize);
      const found = callUnless('ENOENT', `read ${path}`, (libbpf) =>
        libbpf.bpf_map_lookup_elem(descriptor, key, value),
      );
      return found === undefined ? undefined : value;
    },
    lookupPerCpu(key) {
      const values = new Uint8Array(perCpuBytes * cpus);
      call(`read ${path}`, (libbpf) => libbpf.bpf_map_lookup_elem(descriptor, key, values));
      return Array.from({ length: cpus }, (_, cpu) =>
        values.subarray(cpu * perCpuBytes, cpu * perCpuBytes + valueSize),
      );
    },
    update: (key, value) => void call(`write ${path}`, write(key, value, any)),
    insert: (key, value) => callUnless('EEXIST', `write ${path}`, write(key, value, onlyNew)) !== undefined,
    replace: (key, value) => callUnless('ENOENT', `write ${path}`, write(key, value, onlyExisting)) !== undefined,
    clearPerCpu(key) {
      call(`write ${path}`, write(key, new Uint8Array(perCpuBytes * cpus), any));
    },
    delete: (key) =>
      callUnless('ENOENT', `write ${path}`, (libbpf) => libbpf.bpf_map_delete_elem(descriptor, key)) !== undefined,
    keys() {
      const keys: Uint8Array[] = [];
      let last: Uint8Array | null = null;
      // A key that vanishes meanwhile starts the walk anew: it ends after as many steps as the map has room for.
      for (let step = 0; step <= maxEntries; step += 1) {
        const next = new Uint8Array(keySize);
        const before = last;
        const found = callUnless('ENOENT', `read ${path}`, (libbpf) =>
          libbpf.bpf_map_get_next_key(descriptor, before, next),
        );
        if (found === undefined) break;
        keys.push(next);
        last = next;
      }
      return keys;
    },
    close: () => closeSync(descriptor),
  };
}

/** BPF_MAP_TYPE_ARRAY. */
const array = 2;

/** Makes the smallest map and gives it back, to see whether the kernel allows bpf(). @throws BpfError */
export function probeMap(): void {
  const what = 'make a BPF map';
  closeSync(call(what, (libbpf) => libbpf.bpf_map_create(array, 'podrate_probe', 4, 4, 1, null)));
}
