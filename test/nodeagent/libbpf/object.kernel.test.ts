import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BpfError } from '../../../nodeagent/libbpf/error.ts';
import { openMap } from '../../../nodeagent/libbpf/map.ts';
import { loadObject } from '../../../nodeagent/libbpf/object.ts';

const pins = `/sys/fs/bpf/podrate-object-${process.pid}`;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'podrate-object-'));
  await mkdir(pins);
});
afterAll(async () => {
  await rm(directory, { recursive: true });
  await rm(pins, { recursive: true });
});

/** Compiles a program. @returns the object */
async function compile(name: string, body: string): Promise<string> {
  const source = `
    #include <linux/bpf.h>
    #include <bpf/bpf_helpers.h>
    struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); }
      numbers SEC(".maps");
    SEC("cgroup_skb/egress") int program(struct __sk_buff *skb) { ${body} }
    char LICENSE[] SEC("license") = "GPL";`;
  await writeFile(join(directory, `${name}.bpf.c`), source);
  const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const flags = ['-g', '-O2', '-target', 'bpf', '-I', include];
  await execa('clang', [...flags, '-c', `${name}.bpf.c`, '-o', `${name}.bpf.o`], { cwd: directory });
  return join(directory, `${name}.bpf.o`);
}
const counting = '__u32 key = 1; return bpf_map_lookup_elem(&numbers, &key) ? 1 : 0;';
const key = (number: number) => new Uint8Array(new Uint32Array([number]).buffer);
const value = (number: bigint) => new Uint8Array(new BigUint64Array([number]).buffer);

test('a program that the verifier refuses is told with the last lines of its log', async () => {
  // The pointer that the look-up returns may be null.
  const file = await compile('refused', '__u32 key = 1; return *(__u64 *)bpf_map_lookup_elem(&numbers, &key);');
  const load = () => loadObject(file, () => undefined);
  expect(load).toThrow(BpfError);
  expect(load).toThrow(/R0 invalid mem access 'map_value_or_null'/);
});

test('what is no object is refused by its name', async () => {
  const file = join(directory, 'text.o');
  await writeFile(file, 'This is no object.');
  expect(() => loadObject(file, () => undefined)).toThrow(`${file} is no compiled BPF object`);
});

test('a map that is pinned already is used, and one of another kind is refused by its name', async () => {
  const file = await compile('counting', counting);
  const pin = join(pins, 'numbers');
  const first = loadObject(file, () => pin);
  const map = openMap(pin);
  map.update(key(1), value(5n));
  first.close();
  loadObject(file, () => pin).close();
  expect(map.lookup(key(1))).toEqual(value(5n));
  map.close();
  await rm(pin);
  await execa('bpftool', `map create ${pin} type array key 4 value 4 entries 1 name other`.split(' '));
  expect(() => loadObject(file, () => pin)).toThrow(`couldn't reuse pinned map at '${pin}'`);
});

test('entries of a map are written, told apart and removed', async () => {
  const pin = join(pins, 'entries');
  loadObject(await compile('entries', counting), () => pin).close();
  const map = openMap(pin);
  expect(map.valueSize).toBe(8);
  expect([map.insert(key(1), value(1n)), map.insert(key(1), value(2n))]).toEqual([true, false]);
  expect([map.replace(key(1), value(3n)), map.replace(key(2), value(4n))]).toEqual([true, false]);
  expect([map.lookup(key(1)), map.lookup(key(2))]).toEqual([value(3n), undefined]);
  for (let number = 3; number <= 9; number += 1) map.update(key(number), value(0n));
  expect(map.keys().map(String).sort()).toEqual([1, 3, 4, 5, 6, 7, 8, 9].map((number) => String(key(number))).sort());
  expect(() => map.update(key(10), value(0n))).toThrow(`write ${pin}: `);
  map.delete(key(1));
  map.delete(key(1));
  expect(map.lookup(key(1))).toBeUndefined();
  map.close();
});
