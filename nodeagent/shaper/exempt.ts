/** The list of address blocks to which no limit applies, in the kernel. */
import type { Block } from '../net/blocks.ts';
import { decodeU32, encodeU32 } from './layout.ts';
import { withMaps } from './maps.ts';
import type { Pins } from './pins.ts';

/** How many blocks the map takes, PODRATE_EXEMPT of bpf/abi.h. */
export const maxBlocks = 1024;

/** Makes the map hold these blocks and no others. What stays is never absent meanwhile. @throws BpfError */
export function writeExempt(pins: Pins, blocks: readonly Block[]): void {
  withMaps(pins, ['exempt'], ({ exempt }) => {
    const wanted = new Map(blocks.map((block) => [nameOf(encodeBlock(block)), block]));
    const held = exempt.keys();
    const there = new Set(held.map(nameOf));
    for (const [name, block] of wanted) if (!there.has(name)) exempt.update(encodeBlock(block), encodeU32(1));
    for (const key of held) if (!wanted.has(nameOf(key))) exempt.delete(key);
  });
}

/** Encodes a struct podrate_block, the key of the map. */
export function encodeBlock({ bits, bytes }: Pick<Block, 'bits' | 'bytes'>): Uint8Array {
  return Uint8Array.from([...encodeU32(bits), ...bytes]);
}

function nameOf(key: Uint8Array): string {
  return `${decodeU32(key.subarray(0, 4))} ${key.subarray(4)}`;
}
