/** The shaper's maps, open. */
import { type BpfMap, openMap } from '../libbpf/map.ts';
import type { MapName } from './hooks.ts';
import type { Pins } from './pins.ts';

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
