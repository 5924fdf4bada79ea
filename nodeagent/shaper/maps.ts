/** The shaper's maps, open, and the list of address blocks to which no limit applies. */
import { type BpfMap, openMap } from '../libbpf/map.ts';
import type { Block } from '../net/blocks.ts';
import type { MapName } from './hooks.ts';
import { decodeU32, encodeU32 } from './layout.ts';
import type { Pins } from './pins.ts';

/** How many blocks the map takes, PODRATE_EXEMPT of bpf/abi.h. */
export const maxBlocks = 1024;

/**
 * Opens maps, uses and closes them. They are opened each time, which costs microseconds: nobody works on with maps whose
 * pins were removed.
 * @throws BpfError
 */
export function withMaps<T, Names extends MapName>(
  pins: Pins,
  names: readonly Names[],
  use: (maps: Readonly<Record<Names, BpfMap>>) => T,
): T {
  const open: [Names, BpfMap][] = [];
  try {
    for (const name of names) open.push([name, openMap(pins.map(name))]);
    return use(Object.fromEntries(open) as Record<Names, BpfMap>);
  } finally {
    for (const [, map] of open) map.close();
  }
}

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
