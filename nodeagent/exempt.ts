/** The list of address blocks to which no limit applies, in the kernel. */

import type { Block } from './blocks.ts';
import { type Bpftool, bytesOf, type Command, hex } from './bpftool.ts';
import { decodeU32, encodeU32 } from './layout.ts';

/** How many blocks the map takes, PODRATE_EXEMPT of bpf/abi.h. */
export const mostBlocks = 1024;

const present = encodeU32(1);

/** Makes a pinned `exempt` map hold these blocks and no others. What stays is never absent meanwhile. @throws BpftoolError */
export async function writeExempt(bpftool: Bpftool, mapPath: string, blocks: readonly Block[]): Promise<void> {
  const map = ['pinned', mapPath];
  const dump = ((await bpftool.run(['map', 'dump', ...map])) ?? []) as { key: unknown }[];
  const held = dump.map(({ key }) => bytesOf(key));
  const wanted = new Map(blocks.map((block) => [keyOf(block), block]));
  const name = (key: Uint8Array) => `${decodeU32(key.subarray(0, 4))} ${key.subarray(4)}`;
  const there = new Set(held.map(name));
  const commands: Command[] = [
    ...[...wanted.values()]
      .filter((block) => !there.has(keyOf(block)))
      .map((block): Command => ['map', 'update', ...map, 'key', ...hex(encodeBlock(block)), 'value', ...hex(present)]),
    ...held
      .filter((key) => !wanted.has(name(key)))
      .map((key): Command => ['map', 'delete', ...map, 'key', ...hex(key)]),
  ];
  const { error } = await bpftool.batch(commands);
  if (error !== undefined) throw error;
}

/** Encodes a struct podrate_block, the key of the map. */
export function encodeBlock({ bits, bytes }: Pick<Block, 'bits' | 'bytes'>): Uint8Array {
  return Uint8Array.from([...encodeU32(bits), ...bytes]);
}

function keyOf({ bits, bytes }: Block): string {
  return `${bits} ${bytes}`;
}
