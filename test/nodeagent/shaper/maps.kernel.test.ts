import { afterAll, beforeAll, expect, test } from 'vitest';
import { openMap } from '../../../nodeagent/libbpf/map.ts';
import { parseBlocks } from '../../../nodeagent/net/blocks.ts';
import { encodeBlock } from '../../../nodeagent/shaper/maps.ts';
import { pinsIn } from '../../../nodeagent/shaper/pins.ts';
import { createShaper } from '../../../nodeagent/shaper/shaper.ts';
import { makeScene, objectFile, type Scene } from '../scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await makeScene('exempt');
});
afterAll(() => scene?.end());

const install = (exempt: string | undefined) => {
  const blocks = exempt === undefined ? undefined : parseBlocks(exempt);
  const { pinDir: pinDirectory, root: releaseCgroup, mount: cgroupMount } = scene;
  createShaper({ pinDirectory, objectFile, releaseCgroup, cgroupMount, exempt: blocks }).install();
  const map = openMap(pinsIn(pinDirectory).map('exempt'));
  const keys = map.keys().map(String).sort();
  map.close();
  return keys;
};
const keysOf = (list: string) =>
  parseBlocks(list)
    .map((block) => String(encodeBlock(block)))
    .sort();

test('the list in the kernel becomes what it should be, and what nobody configures stays as it is', () => {
  for (const list of ['10.0.0.0/8 fd00::/8', '10.0.0.0/16 fd00::/8 192.168.1.1', '', '10.0.0.0/8']) {
    expect(install(list)).toEqual(keysOf(list));
  }
  expect(install(undefined)).toEqual(keysOf('10.0.0.0/8'));
});
