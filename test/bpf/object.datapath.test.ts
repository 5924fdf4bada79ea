import { readdir } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type LoadedShaper, loadShaper, stateBytes } from '../lab/shaper.ts';

const name = 'podrate-lab-object';
const pins = `/sys/fs/bpf/${name}`;
let shaper: LoadedShaper;

beforeAll(async () => {
  shaper = await loadShaper(name);
});
afterAll(() => shaper?.unload());

test('the object loads as four programs', async () => {
  const programs = ['podrate_egress', 'podrate_ingress', 'podrate_queue', 'podrate_release', 'podrate_sockops'];
  expect((await readdir(`${pins}/programs`)).sort()).toEqual(programs);
});

test.each([
  ['slots', 'cgroup_storage', 16, 4],
  ['configs', 'array', 4, 40],
  ['states', 'array', 4, stateBytes],
  ['counts', 'percpu_array', 4, 128],
  ['owners', 'hash', 4, 72],
  ['exempt', 'lpm_trie', 20, 4],
])('map %s is a %s with the sizes that user space takes it to have', async (map, type, key, value) => {
  const { stdout } = await execa('bpftool', ['-j', 'map', 'show', 'pinned', `${pins}/maps/podrate_${map}`]);
  const found = JSON.parse(stdout);
  // The kernel reports a cgroup storage keyed by cgroup id with the size of the id.
  const keyBytes = type === 'cgroup_storage' ? 8 : key;
  expect(found).toMatchObject({ type, name: `podrate_${map}`.slice(0, 15), bytes_key: keyBytes, bytes_value: value });
});
