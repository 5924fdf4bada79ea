/** Does steps: writes maps, attaches and detaches links. */
import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Cgroup } from '../cgroup/tree.ts';
import { openPin, withDescriptor } from '../libbpf/call.ts';
import { attachToCgroup, readLink, updateLink } from '../libbpf/link.ts';
import type { BpfMap } from '../libbpf/map.ts';
import { programId } from '../libbpf/program.ts';
import { attachTypeOf, type Hook, hooks, programOf } from './hooks.ts';
import { encodeConfig, encodeOwner, encodeU32, encodeU64 } from './layout.ts';
import { withMaps } from './maps.ts';
import type { Pins } from './pins.ts';
import type { AttachStep, Step } from './steps.ts';

const mapsOfSteps = ['owners', 'states', 'counts', 'configs', 'slots'] as const;

/** What steps are done with, open. */
interface Parts {
  readonly pins: Pins;
  readonly maps: Readonly<Record<(typeof mapsOfSteps)[number], BpfMap>>;
  readonly programs: readonly Program[];
}

/** The program of a hook: its file descriptor, and the kernel's number of it. */
interface Program {
  readonly hook: Hook;
  readonly descriptor: number;
  readonly id: number;
}

/**
 * Opens what steps are done with, and closes it. Wherever a step is interrupted, it leaves a state that can be gone on
 * with: a slot is claimed before anything is written to it, the limit is written before the programs are there to read
 * it, and the entry that makes traffic count on the slot comes last. To detach goes the other way.
 * @param digest of the object that is installed
 * @param use gets the function that does one step, which throws Error
 * @throws BpfError
 */
export function withSteps<T>(pins: Pins, digest: string, use: (apply: (step: Step) => void) => T): T {
  return withMaps(pins, mapsOfSteps, (maps) => {
    const programs: Program[] = [];
    try {
      for (const hook of hooks) {
        const descriptor = openPin(join(pins.programs(digest), programOf[hook]));
        programs.push({ hook, descriptor, id: programId(descriptor) });
      }
      return use((step) => apply(step, { pins, maps, programs }));
    } finally {
      for (const { descriptor } of programs) closeSync(descriptor);
    }
  });
}

function apply(step: Step, parts: Parts): void {
  const { maps, pins, programs } = parts;
  switch (step.kind) {
    case 'attach':
      attach(step, parts);
      break;
    case 'update':
      maps.configs.update(encodeU32(step.slot), encodeConfig(step.config));
      break;
    case 'upgrade':
      for (const program of programs) upgradeLink(pins, step.cgroupId, program);
      break;
    case 'detach':
      if (!step.keepLinks) {
        maps.slots.replace(encodeU64(step.cgroupId), encodeU32(0));
        removeLinks(pins, step.cgroupId);
      }
      maps.owners.delete(encodeU32(step.slot));
      break;
  }
}

function attach({ slot, owner, cgroup, config, claim, fresh }: AttachStep, parts: Parts): void {
  const { owners, states, counts, configs, slots } = parts.maps;
  const key = encodeU32(slot);
  if (claim && !owners.insert(key, encodeOwner({ cgroupId: cgroup.id, name: owner }))) {
    throw new Error(`another process has taken slot ${slot}`);
  }
  if (fresh) {
    states.update(key, new Uint8Array(states.valueSize));
    counts.clearPerCpu(key);
  }
  configs.update(key, encodeConfig(config));
  const enter = () => slots.replace(encodeU64(cgroup.id), encodeU32(slot));
  ensureLinks(cgroup, parts);
  if (enter()) return;
  // The map that the links were made with has lost its pin: the kernel makes the entry only at an attach.
  removeLinks(parts.pins, cgroup.id);
  ensureLinks(cgroup, parts);
  enter();
}

function removeLinks(pins: Pins, cgroupId: bigint): void {
  for (const hook of hooks) rmSync(pins.link(cgroupId, hook), { force: true });
}

/** Makes the current programs attached to a cgroup, by pinned links. */
function ensureLinks({ id, path: directory }: Cgroup, { pins, programs }: Parts): void {
  withDescriptor(openSync(directory, 'r'), (descriptor) => {
    for (const program of programs.filter((one) => !upgradeLink(pins, id, one))) {
      try {
        const { hook } = program;
        attachToCgroup(program.descriptor, { descriptor, directory }, attachTypeOf[hook], pins.link(id, hook));
      } catch (error) {
        // Another process may have been faster.
        if (!upgradeLink(pins, id, program)) throw error;
      }
    }
  });
}

/** Makes a link run the current program. @returns false if nothing is attached; then nothing is pinned either */
function upgradeLink(pins: Pins, cgroupId: bigint, { hook, descriptor, id }: Program): boolean {
  const path = pins.link(cgroupId, hook);
  const link = readLink(path);
  if (link === undefined) return false;
  if (link.cgroupId !== cgroupId) {
    // Somebody has detached it, and has left the pin.
    rmSync(path, { force: true });
    return false;
  }
  if (id !== link.programId) updateLink(path, descriptor);
  return true;
}
