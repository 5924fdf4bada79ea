/** Loads the shaper's programs and pins them. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pin, withDescriptor } from '../libbpf/call.ts';
import { BpfError } from '../libbpf/error.ts';
import { createIterator, loadObject } from '../libbpf/object.ts';
import { mapNames, programNames } from './hooks.ts';
import { adopterObject, type Pins, removeTree } from './pins.ts';

/** The pin of the iterator that adopts older connections, beside the programs; absent where the kernel has none. */
export const adopterPin = 'adopter';

/** Reports whether the programs of an object and all maps are pinned. */
export function isInstalled(pins: Pins, digest: string): boolean {
  const programs = programNames.map((name) => join(pins.programs(digest), name));
  return [...programs, ...mapNames.map(pins.map), pins.links].every((path) => existsSync(path));
}

/**
 * Loads an object and pins its programs. The maps of the layout are used if they are pinned, and pinned if not. Whoever
 * is killed halfway, or does it at the same time, leaves what the next one can use: programs of one object and the same
 * maps do the same.
 * @throws BpfError
 */
export function install(objectFile: string, pins: Pins, digest: string): void {
  const programs = pins.programs(digest);
  // They work with maps that have lost their pins.
  if (!mapNames.every((name) => existsSync(pins.map(name)))) removeTree(programs);
  for (const directory of [pins.maps, pins.links]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const object = loadObject(objectFile, (name) => join(pins.maps, name));
  try {
    mkdirSync(programs, { recursive: true, mode: 0o700 });
    withAdopter(objectFile, pins.map('sockets'), (iterator) => pinOnce(iterator, join(programs, adopterPin)));
    for (const [name, program] of object.programs) pinOnce(program, join(programs, name));
  } finally {
    object.close();
  }
}

/**
 * Loads an object, and gives it back, to see whether the kernel takes it.
 * @returns why older connections cannot be adopted, if so
 * @throws BpfError if it does not
 */
export function tryInstall(objectFile: string): BpfError | undefined {
  loadObject(objectFile, () => undefined).close();
  return withAdopter(objectFile, undefined, () => {});
}

function pinOnce(descriptor: number, path: string): void {
  try {
    pin(descriptor, path);
  } catch (error) {
    if (!(error instanceof BpfError) || error.errno !== 'EEXIST') throw error;
  }
}

/**
 * Loads the iterator that adopts older connections. Without it limits hold all the same.
 * @param sockets the pin of its map
 * @param use gets the file descriptor
 * @returns why the kernel has none (before Linux 5.15), if so
 */
function withAdopter(
  objectFile: string,
  sockets: string | undefined,
  use: (iterator: number) => void,
): BpfError | undefined {
  try {
    const { programs, close } = loadObject(adopterObject(objectFile), () => sockets);
    try {
      for (const program of programs.values()) withDescriptor(createIterator(program), use);
    } finally {
      close();
    }
    return undefined;
  } catch (error) {
    if (error instanceof BpfError && error.code !== 'bpf/missing') return error;
    throw error;
  }
}
