import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseBlocks } from '../../nodeagent/blocks.ts';
import { bytesOf } from '../../nodeagent/bpftool.ts';
import { encodeBlock } from '../../nodeagent/exempt.ts';
import { createPins } from '../../nodeagent/pins.ts';
import { createShaper } from '../../nodeagent/shaper.ts';
import { makeScene, objectFile, type Scene } from './scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await makeScene('exempt');
});
afterAll(() => scene?.end());

const install = async (exempt: string | undefined) => {
  const { pinDir, bpftool, root, mount } = scene;
  const pins = createPins({ directory: pinDir, bpftool });
  const blocks = exempt === undefined ? undefined : parseBlocks(exempt);
  const options = { objectFile, releaseCgroup: root, cgroupMount: mount, exempt: blocks };
  await createShaper({ bpftool, pins, ...options }).install();
  const [generation = ''] = await pins.list();
  const dump = (await bpftool.run(['map', 'dump', 'pinned', pins.map(generation, 'exempt')])) as { key: unknown }[];
  return dump.map(({ key }) => String(bytesOf(key))).sort();
};
const keysOf = (list: string) =>
  parseBlocks(list)
    .map((block) => String(encodeBlock(block)))
    .sort();

test('the list in the kernel becomes what it should be, and what nobody configures stays as it is', async () => {
  for (const list of ['10.0.0.0/8 fd00::/8', '10.0.0.0/16 fd00::/8 192.168.1.1', '', '10.0.0.0/8']) {
    expect(await install(list)).toEqual(keysOf(list));
  }
  expect(await install(undefined)).toEqual(keysOf('10.0.0.0/8'));
});
