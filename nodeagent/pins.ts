/**
 * The pins of the shaper: one directory in the BPF file system for each generation of the object, `<pin directory>/<generation>`,
 * with `programs/` and `maps/` in it and, where the kernel has iterators, `adopter`. A generation is loaded beside its place and renamed, so it is there whole or not at all.
 */
import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { adopterObject, pinAdopter } from './adopter.ts';
import { type Bpftool, BpftoolError } from './bpftool.ts';
import { classifierProgram, programOf, releaseProgram } from './hooks.ts';

/** The maps that user space reads and writes. */
const mapNames = ['slots', 'configs', 'states', 'counters', 'owners', 'exempt'] as const;

/** A map that user space reads and writes. */
export type MapName = (typeof mapNames)[number];

const programNames = [...Object.values(programOf), releaseProgram, classifierProgram];
const generationName = /^[0-9a-f]{12}$/;
const loadingName = /^loading_/;
const adopterName = 'adopter';
const abandonedMs = 60_000;

/**
 * The name of an object's generation: the first 12 hex digits of the SHA-256 over it and the adopter beside it.
 * @throws if the object cannot be read
 */
export async function generationOf(objectFile: string): Promise<string> {
  const adopter = await readFile(adopterObject(objectFile)).catch(() => '');
  return createHash('sha256')
    .update(await readFile(objectFile))
    .update(adopter)
    .digest('hex')
    .slice(0, 12);
}

/** What can be done with generations. */
export interface Pins {
  /** The path of a pinned program. */
  program(generation: string, name: string): string;
  /** The path of a pinned map. */
  map(generation: string, name: MapName): string;
  /** The path of the pinned iterator that adopts older connections; it exists only where the kernel has such iterators. */
  adopter(generation: string): string;
  /** Generations that are pinned, in no order. */
  list(): Promise<string[]>;
  /** Whether every pin of a generation is there. */
  complete(generation: string): Promise<boolean>;
  /** Loads an object and pins it as a generation, unless another process did just that. @throws BpftoolError */
  load(objectFile: string, generation: string): Promise<void>;
  /**
   * Loads an object and removes it again, to see whether the kernel takes it.
   * @returns why older connections cannot be adopted, if so
   * @throws BpftoolError if it does not
   */
  tryLoad(objectFile: string): Promise<BpftoolError | undefined>;
  /** Removes the pins of a generation; what is attached stays attached. */
  remove(generation: string): Promise<void>;
  /** Removes what loads that were interrupted left behind, and the pin directory itself once it is empty. */
  tidy(): Promise<void>;
}

/** Builds the access to one pin directory. */
export function createPins(options: {
  readonly directory: string;
  readonly bpftool: Bpftool;
  /** Wall clock, in ms since the epoch. */
  readonly now?: () => number;
}): Pins {
  const { directory, bpftool, now = Date.now } = options;
  const program = (generation: string, name: string) => join(directory, generation, 'programs', name);
  const map = (generation: string, name: MapName) => join(directory, generation, 'maps', name);
  const entries = () => readdir(directory).catch(emptyIfMissing);

  const adopter = (generation: string) => join(directory, generation, adopterName);

  const loadAside = async <T>(
    objectFile: string,
    name: string,
    then: (loading: string, adopterError?: BpftoolError) => Promise<T>,
  ) => {
    // The BPF file system refuses names with a dot.
    const loading = join(directory, `loading_${name}_${process.pid}_${process.hrtime.bigint()}`);
    await mkdir(loading, { recursive: true, mode: 0o700 });
    try {
      const [programs, maps] = [join(loading, 'programs'), join(loading, 'maps')];
      await bpftool.run(['prog', 'loadall', objectFile, programs, 'pinmaps', maps]);
      const sockets = { socketsMap: join(maps, 'sockets'), path: join(loading, adopterName) };
      const error = await pinAdopter(bpftool, { object: adopterObject(objectFile), ...sockets }).catch(unlessBroken);
      return await then(loading, error ?? undefined);
    } finally {
      await removeTree(loading);
    }
  };

  return {
    program,
    map,
    adopter,
    list: async () => (await entries()).filter((name) => generationName.test(name)),

    async complete(generation) {
      const paths = [
        ...programNames.map((name) => program(generation, name)),
        ...mapNames.map((name) => map(generation, name)),
      ];
      const found = await Promise.allSettled(paths.map((path) => access(path)));
      return found.every((result) => result.status === 'fulfilled');
    },

    load: (objectFile, generation) =>
      loadAside(objectFile, generation, async (loading) => {
        await rename(loading, join(directory, generation)).catch((error: NodeJS.ErrnoException) => {
          // Another process was faster, with the same object.
          if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
        });
      }),

    async tryLoad(objectFile) {
      const adopterError = await loadAside(objectFile, 'try', async (_, error) => error);
      await rmdir(directory).catch(() => undefined);
      return adopterError;
    },

    remove: (generation) => removeTree(join(directory, generation)),

    async tidy() {
      for (const name of (await entries()).filter((entry) => loadingName.test(entry))) {
        const path = join(directory, name);
        const made = await stat(path).catch(() => undefined);
        if (made !== undefined && now() - made.mtimeMs > abandonedMs) await removeTree(path);
      }
      await rmdir(directory).catch(() => undefined);
    },
  };
}

// Without it limits hold all the same.
function unlessBroken(error: unknown): BpftoolError {
  if (error instanceof BpftoolError && error.code === 'bpftool/refused') return error;
  throw error;
}

function removeTree(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true });
}

function emptyIfMissing(error: NodeJS.ErrnoException): never[] {
  if (error.code === 'ENOENT') return [];
  throw error;
}
