/**
 * What other versions of podrate have left, whose maps have another layout: those before the directory names had a version
 * in them too. Nothing of it is decoded. What they have attached is found on the cgroups, and is taken off where the
 * limit of this version is in force, or none is wanted.
 */
import { join } from 'node:path';
import type { Cgroup } from '../cgroup/cgroup.ts';
import { openPin, withDescriptor } from '../libbpf/call.ts';
import { BpfError } from '../libbpf/error.ts';
import { type CgroupAttachType, detachFromCgroup, programsOn, readLink, unpin } from '../libbpf/link.ts';
import { openProgram, pinnedProgramId, programName } from '../libbpf/program.ts';
import { layoutPrefix, namesIn, type Pins, removeIfEmpty, removeTree } from './pins.ts';

const types: readonly CgroupAttachType[] = ['egress', 'ingress', 'sock_ops'];
const ownPrefix = 'podrate_';
const releaseName = 'podrate_release';
/** Generations of versions that ran bpftool: `<12 hex digits>/{programs,maps}`. */
const generationName = /^[0-9a-f]{12}$/;

/** What other versions have pinned. */
export interface OtherLayouts {
  readonly directories: readonly string[];
  /** Pins of programs by the programs' numbers. */
  readonly programs: ReadonlyMap<number, string>;
  /** Pins of links by the ids of their cgroups; under 0 those whose cgroup has gone. */
  readonly links: ReadonlyMap<bigint, readonly string[]>;
}

/** Reads what other versions have pinned. @returns undefined if there is nothing, as almost always @throws BpfError */
export function readOtherLayouts({ directory, layout }: Pins): OtherLayouts | undefined {
  const directories = namesIn(directory)
    .filter((name) => generationName.test(name) || name.startsWith(layoutPrefix))
    .map((name) => join(directory, name))
    .filter((path) => path !== layout);
  if (directories.length === 0) return undefined;
  const programs = new Map<number, string>();
  const links = new Map<bigint, string[]>();
  for (const path of directories) {
    for (const folder of namesIn(path).filter((name) => name.startsWith('programs'))) {
      for (const file of namesIn(join(path, folder)).filter((name) => name.startsWith(ownPrefix))) {
        const program = join(path, folder, file);
        const id = pinnedProgramId(program);
        if (id !== undefined) programs.set(id, program);
      }
    }
    for (const file of namesIn(join(path, 'links'))) {
      const link = join(path, 'links', file);
      const cgroupId = readLink(link)?.cgroupId ?? 0n;
      links.set(cgroupId, [...(links.get(cgroupId) ?? []), link]);
    }
  }
  return { directories, programs, links };
}

/** Takes what other versions have attached off a cgroup. @throws BpfError */
export function leaveOtherLayout(others: OtherLayouts, cgroup: Cgroup): void {
  for (const link of others.links.get(cgroup.id) ?? []) unpin(link);
  for (const type of types) {
    for (const id of programsOn(cgroup.path, type).ids) {
      const pinned = others.programs.get(id);
      if (pinned === undefined) continue;
      withDescriptor(openPin(pinned), (program) => detachFromCgroup(program, cgroup.path, type));
    }
  }
}

/**
 * Removes the pins of other versions if nothing of them is attached any more but the release programs, which it detaches.
 * @param directories all cgroups of the machine
 * @throws BpfError
 */
export function removeUnusedLayouts(others: OtherLayouts, directories: readonly string[]): void {
  const release: { readonly directory: string; readonly pinned: string }[] = [];
  for (const directory of directories) {
    for (const type of types) {
      for (const id of programsOn(directory, type).ids) {
        const pinned = others.programs.get(id);
        if (pinned === undefined) continue;
        if (!pinned.endsWith(releaseName)) return;
        release.push({ directory, pinned });
      }
    }
  }
  const limiting = [...others.links].flatMap(([id, paths]) => (id === 0n ? [] : paths));
  if (limiting.some((path) => !path.endsWith('/release'))) return;
  for (const { directory, pinned } of release) {
    withDescriptor(openPin(pinned), (program) => detachFromCgroup(program, directory, 'sock_ops'));
  }
  for (const path of others.directories) removeLayout(path);
}

/**
 * Takes everything of other versions off, also programs whose pins were lost, as far as the kernel allows to look for
 * them, which takes CAP_SYS_ADMIN.
 * @param directories all cgroups of the machine
 * @throws BpfError
 */
export function removeOtherLayouts(pins: Pins, directories: readonly string[]): void {
  const others = readOtherLayouts(pins);
  for (const path of others?.directories ?? []) removeTree(join(path, 'links'));
  for (const directory of directories) {
    for (const type of types) {
      for (const id of programsOn(directory, type).ids) {
        const pinned = others?.programs.get(id);
        const program = pinned === undefined ? openOwnProgram(id) : openPin(pinned);
        if (program !== undefined) withDescriptor(program, () => detachFromCgroup(program, directory, type));
      }
    }
  }
  for (const path of others?.directories ?? []) removeLayout(path);
  removeIfEmpty(pins.directory);
}

function removeLayout(path: string): void {
  removeTree(join(path, 'links'));
  removeTree(path);
}

/** Opens a program of podrate's. @returns undefined if it is another one's, or if that cannot be told */
function openOwnProgram(id: number): number | undefined {
  try {
    const program = openProgram(id);
    if (program === undefined || programName(program).startsWith(ownPrefix)) return program;
    return withDescriptor(program, () => undefined);
  } catch (error) {
    if (error instanceof BpfError && error.errno === 'EPERM') return undefined;
    throw error;
  }
}
