import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { layoutVersion, structures } from '../../../nodeagent/shaper/layout.ts';
import { objectFile } from '../scene.ts';

interface BtfType {
  readonly kind: string;
  readonly name: string;
  readonly size?: number;
  readonly members?: readonly { readonly name: string; readonly bits_offset: number }[];
}

const { stdout } = await execa('bpftool', ['--json', 'btf', 'dump', 'file', objectFile]);
const { types } = JSON.parse(stdout) as { types: BtfType[] };
const structOf = (name: string) => types.find((type) => type.kind === 'STRUCT' && type.name === name);

test.each(Object.entries(structures))('struct %s is laid out in the object as user space takes it', (name, layout) => {
  const found = structOf(name);
  expect(found?.size).toBe(layout.size);
  const offsets = Object.fromEntries((found?.members ?? []).map((member) => [member.name, member.bits_offset / 8]));
  expect(offsets).toEqual(layout.fields);
});

/** The maps of the layout's version. Versions of the programs share them: for any difference raise layoutVersion. */
const maps: Readonly<Record<number, readonly string[]>> = {
  2: [
    'podrate_configs: array, flags 0, key 4, value 40, entries 1024',
    'podrate_counts: percpu_array, flags 0, key 4, value 128, entries 1024',
    'podrate_exempt: lpm_trie, flags 1, key 20, value 4, entries 1024',
    'podrate_flows: lru_hash, flags 0, key 8, value 16, entries 65536',
    'podrate_jiffies: array, flags 0, key 4, value 24, entries 1',
    'podrate_owners: hash, flags 0, key 4, value 72, entries 1024',
    'podrate_slots: cgroup_storage, flags 0, key 8, value 4, entries 0',
    'podrate_sockets: sk_storage, flags 1, key 4, value 32, entries 0',
    'podrate_states: array, flags 0, key 4, value 192, entries 1024',
    'podrate_syns: lru_hash, flags 0, key 24, value 4, entries 4096',
  ],
};

test('the maps of the object are those of the version of the layout', async () => {
  const directory = `/sys/fs/bpf/podrate-layout-${process.pid}`;
  await mkdir(directory);
  try {
    await execa('bpftool', ['prog', 'loadall', objectFile, join(directory, 'programs'), 'pinmaps', directory]);
    const found: string[] = [];
    for (const name of (await readdir(directory)).filter((entry) => entry !== 'programs').sort()) {
      const { stdout: map } = await execa('bpftool', ['--json', 'map', 'show', 'pinned', join(directory, name)]);
      const { name: own, type, flags, bytes_key: key, bytes_value: value, max_entries: entries } = JSON.parse(map);
      // The kernel cuts longer names off.
      expect(own).toBe(name);
      found.push(`${name}: ${type}, flags ${flags}, key ${key}, value ${value}, entries ${entries}`);
    }
    expect(found).toEqual(maps[layoutVersion]);
  } finally {
    await rm(directory, { recursive: true });
  }
});
