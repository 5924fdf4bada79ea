/**
 * Where the shaper is pinned in the BPF file system. Everything is below a directory that is named after the version of
 * the maps' layout:
 *
 *   layout_1/maps/<name>                       shared by all versions of the programs that have this layout
 *   layout_1/programs_<digest>/<program>       the programs of one object
 *   layout_1/links/<cgroup id>_<hook>          what is attached to a limited cgroup
 *   layout_1/links/release                     what is attached to the root of the cgroup tree
 *
 * Files of the BPF file system may have no dot in their names.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Hook } from './hooks.ts';
import { layoutVersion } from './layout.ts';

/** The name of the directory of a layout begins so. */
export const layoutPrefix = 'layout_';
const programsPrefix = 'programs_';
const loadingPrefix = 'loading_';
/** A load that is older than this has been interrupted, in ms. */
const abandonedMs = 60_000;

/** The paths of one layout. */
export interface Pins {
  /** The directory with all layouts. */
  readonly directory: string;
  /** The directory of the layout. */
  readonly layout: string;
  readonly maps: string;
  readonly links: string;
  /** The pin of a map, by its name with or without `podrate_`, which all maps' names in the kernel begin with. */
  map(name: string): string;
  /** The directory of the programs of an object. */
  programs(digest: string): string;
  /** A directory to load programs in; nobody else has it. */
  loading(digest: string): string;
  link(cgroupId: bigint, hook: Hook): string;
  readonly releaseLink: string;
}

/** Returns the paths of the current layout below a pin directory. */
export function pinsIn(directory: string): Pins {
  const layout = join(directory, `${layoutPrefix}${layoutVersion}`);
  const maps = join(layout, 'maps');
  const links = join(layout, 'links');
  return {
    directory,
    layout,
    maps,
    links,
    map: (name) => join(maps, name.replace(/^podrate_/, '')),
    programs: (digest) => join(layout, `${programsPrefix}${digest}`),
    loading: (digest) => join(layout, `${loadingPrefix}${digest}_${process.pid}_${process.hrtime.bigint()}`),
    link: (cgroupId, hook) => `${links}/${cgroupId}_${hook}`,
    releaseLink: join(links, 'release'),
  };
}

/** Returns the path of the object with the iterator that adopts older connections, beside the shaper's. */
export function adopterObject(shaperObject: string): string {
  return join(dirname(shaperObject), 'adopt.bpf.o');
}

/**
 * Returns the digest that names the programs of an object: 12 hex digits over it and the iterator's object beside it.
 * @throws if the object cannot be read
 */
export function digestOf(objectFile: string): string {
  const hash = createHash('sha256').update(readFileSync(objectFile));
  try {
    hash.update(readFileSync(adopterObject(objectFile)));
  } catch {
    // It is optional.
  }
  return hash.digest('hex').slice(0, 12);
}

/** Removes programs of other digests, which nothing needs to run: their links hold them. And interrupted loads. */
export function removeOtherPrograms(pins: Pins, digest: string, nowMs: number): void {
  for (const name of namesIn(pins.layout).filter((one) => one.startsWith(programsPrefix))) {
    const path = join(pins.layout, name);
    if (path !== pins.programs(digest)) removeTree(path);
  }
  for (const directory of [pins.layout, pins.directory]) {
    for (const path of loadsIn(directory)) if (isAbandoned(path, nowMs)) removeTree(path);
  }
}

function loadsIn(directory: string): string[] {
  return namesIn(directory)
    .filter((name) => name.startsWith(loadingPrefix))
    .map((name) => join(directory, name));
}

/** Removes the layout with all that it attaches, loads, and the pin directory if nothing else is in it. */
export function removePins(pins: Pins): void {
  // The programs leave first: without the maps nobody could tell what they limit.
  removeTree(pins.links);
  removeTree(pins.layout);
  for (const path of loadsIn(pins.directory)) removeTree(path);
  removeIfEmpty(pins.directory);
}

/** Removes a directory of pins; one that is not there is no error. */
export function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** Removes a directory if nothing is in it. */
export function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Something is.
  }
}

/** Returns the names in a directory; none if it does not exist. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

function isAbandoned(path: string, nowMs: number): boolean {
  const made = statSync(path, { throwIfNoEntry: false });
  return made !== undefined && nowMs - made.mtimeMs > abandonedMs;
}
