/**
 * Where the shaper is pinned in the BPF file system. Everything is below a directory that is named after the version of
 * the maps' layout:
 *
 *   layout_2/maps/<map>                        shared by all versions of the programs that have this layout
 *   layout_2/programs_<digest>/<program>       the programs of one object
 *   layout_2/links/<cgroup id>_<hook>          what is attached to a limited cgroup
 *   layout_2/links/release                     what is attached to the root of the cgroup tree
 *
 * Files of the BPF file system may have no dot in their names.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readLink } from '../libbpf/link.ts';
import type { Hook, MapName } from './hooks.ts';
import { layoutVersion } from './layout.ts';

/** The paths of the current layout. */
export type Pins = ReturnType<typeof pinsIn>;

/** Returns the paths of the current layout below a pin directory. */
export function pinsIn(directory: string) {
  const layout = join(directory, `layout_${layoutVersion}`);
  const maps = join(layout, 'maps');
  const links = join(layout, 'links');
  return {
    /** The directory with all layouts. */
    directory,
    layout,
    maps,
    links,
    map: (name: MapName) => `${maps}/podrate_${name}`,
    /** The directory of the programs of an object. */
    programs: (digest: string) => join(layout, `programs_${digest}`),
    link: (cgroupId: bigint, hook: Hook) => `${links}/${cgroupId}_${hook}`,
    releaseLink: join(links, 'release'),
  };
}

/** Returns the path of the object with the iterator that adopts older connections, beside the shaper's. */
export function adopterObject(shaperObject: string): string {
  return join(dirname(shaperObject), 'adopt.bpf.o');
}

/**
 * Returns the digest that names the programs of an object: 12 hex digits over it and the iterator's object beside it.
 * @throws if the object cannot be read; the iterator's is optional
 */
export function digestOf(objectFile: string): string {
  const hash = createHash('sha256').update(readFileSync(objectFile));
  const adopter = adopterObject(objectFile);
  if (existsSync(adopter)) hash.update(readFileSync(adopter));
  return hash.digest('hex').slice(0, 12);
}

/** Removes programs of other digests, which nothing needs to run: their links hold them. */
export function removeOtherPrograms(pins: Pins, digest: string): void {
  for (const name of namesIn(pins.layout).filter((one) => one.startsWith('programs_'))) {
    const path = join(pins.layout, name);
    if (path !== pins.programs(digest)) removeTree(path);
  }
}

/** Lists the directories of versions of podrate whose maps have another layout. */
export function otherLayouts({ directory, layout }: Pins): string[] {
  const layouts = namesIn(directory).filter((name) => name.startsWith('layout_'));
  return layouts.map((name) => join(directory, name)).filter((path) => path !== layout);
}

/**
 * Detaches from cgroups what versions with another layout have attached, none of which is decoded. Their directory goes
 * with the last of their links but that of the release program.
 * @throws BpfError
 */
export function leaveOtherLayouts(pins: Pins, cgroupIds: ReadonlySet<bigint>): void {
  for (const layout of otherLayouts(pins)) {
    const links = namesIn(join(layout, 'links')).map((name) => join(layout, 'links', name));
    const left = links.filter((path) => {
      const cgroupId = readLink(path)?.cgroupId ?? 0n;
      if (cgroupId !== 0n && !cgroupIds.has(cgroupId)) return true;
      rmSync(path, { force: true });
      return false;
    });
    if (left.every((path) => path.endsWith('/release'))) removeLayout(layout);
  }
}

/** Removes all layouts with all that they attach, and the pin directory if nothing else is in it. */
export function removePins(pins: Pins): void {
  for (const layout of [pins.layout, ...otherLayouts(pins)]) removeLayout(layout);
  try {
    rmdirSync(pins.directory);
  } catch {
    // Something is, or it is not there.
  }
}

function removeLayout(layout: string): void {
  // The programs leave first: without the maps nobody could tell what they limit.
  removeTree(join(layout, 'links'));
  removeTree(layout);
}

/** Removes a directory of pins; one that is not there is no error. */
export function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
