/** Loads the shaper's programs and pins them. */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { pin } from '../libbpf/call.ts';
import { BpfError } from '../libbpf/error.ts';
import { loadObject, pinIterator } from '../libbpf/object.ts';
import { programNames } from './hooks.ts';
import { adopterObject, type Pins, removeIfEmpty, removeTree } from './pins.ts';

/** The maps that user space reads and writes. */
const mapNames = ['slots', 'configs', 'states', 'counters', 'owners', 'exempt'] as const;

/** A map that user space reads and writes. */
export type MapName = (typeof mapNames)[number];

/** The pin of the iterator that adopts older connections, beside the programs; absent where the kernel has none. */
export const adopterPin = 'adopter';

/** Reports whether the programs of an object and all maps are pinned. */
export function isInstalled(pins: Pins, digest: string): boolean {
  const programs = programNames.map((name) => join(pins.programs(digest), name));
  return [...programs, ...mapNames.map(pins.map), pins.links].every((path) => existsSync(path));
}

/**
 * Loads an object and pins its programs. The maps of the layout are used if they are pinned, and pinned if not. Whoever
 * is killed halfway, or does it at the same time, leaves what the next one can use.
 * @throws BpfError
 */
export function install(objectFile: string, pins: Pins, digest: string): void {
  const programs = pins.programs(digest);
  const [loading, left] = [pins.loading(digest), pins.loading(digest)];
  for (const directory of [pins.maps, pins.links, loading]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    if (isInstalled(pins, digest)) return;
    // What is left of an incomplete installation works with maps that have lost their pins.
    renameUnless(['ENOENT'], programs, left);
    loadInto(objectFile, pins, loading);
    // Another process may have been faster, with the same object.
    renameUnless(['ENOTEMPTY', 'EEXIST'], loading, programs);
  } finally {
    removeTree(loading);
    removeTree(left);
  }
}

function renameUnless(codes: readonly string[], from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

function loadInto(objectFile: string, pins: Pins, directory: string): void {
  const object = loadObject(objectFile, pins.map);
  try {
    for (const [name, program] of object.programs) pin(program, join(directory, name));
  } finally {
    object.close();
  }
  try {
    loadAdopter(objectFile, pins.map('sockets'), join(directory, adopterPin));
  } catch (error) {
    // Without it limits hold all the same.
    if (!(error instanceof BpfError)) throw error;
  }
}

/** Loads the iterator that adopts older connections, and pins it. @throws BpfError where the kernel has none (Linux 5.15) */
function loadAdopter(objectFile: string, socketsMap: string, path: string): void {
  const object = loadObject(adopterObject(objectFile), () => socketsMap);
  try {
    const [program] = object.programs.values();
    if (program !== undefined) pinIterator(program, path);
  } finally {
    object.close();
  }
}

/**
 * Loads an object and removes it again, to see whether the kernel takes it.
 * @param directory in a BPF file system
 * @returns why older connections cannot be adopted, if so
 * @throws BpfError if it does not
 */
export function tryInstall(objectFile: string, directory: string): BpfError | undefined {
  const path = join(directory, `loading_try_${process.pid}_${process.hrtime.bigint()}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  try {
    loadObject(objectFile, (name) => join(path, name)).close();
    try {
      loadAdopter(objectFile, join(path, 'podrate_sockets'), join(path, adopterPin));
      return undefined;
    } catch (error) {
      if (error instanceof BpfError && error.code !== 'bpf/missing') return error;
      throw error;
    }
  } finally {
    removeTree(path);
    removeIfEmpty(directory);
  }
}
