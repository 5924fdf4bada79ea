/** Does steps: writes maps, attaches and detaches links. */
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import type { Cgroup } from '../cgroup/cgroup.ts';
import { openPin } from '../libbpf/call.ts';
import { BpfError } from '../libbpf/error.ts';
import { attachToCgroup, type OpenCgroup, readLink, unpin, updateLink, withCgroup } from '../libbpf/link.ts';
import type { BpfMap } from '../libbpf/map.ts';
import { programId } from '../libbpf/program.ts';
import { attachTypeOf, type Hook, hooks, programOf } from './hooks.ts';
import type { MapName } from './install.ts';
import { encodeConfig, encodeOwner, encodeU32, encodeU64 } from './layout.ts';
import { withMaps } from './maps.ts';
import type { Pins } from './pins.ts';
import type { AttachStep, Step } from './steps.ts';

/** What steps are done with, open. */
interface Parts {
  readonly pins: Pins;
  readonly maps: Readonly<Record<Exclude<MapName, 'exempt'>, BpfMap>>;
  readonly programs: ReadonlyMap<Hook, Program>;
}

/** An open program. */
interface Program {
  readonly descriptor: number;
  readonly id: number;
}

/** The slot was taken by another process meanwhile. */
export class SlotTakenError extends Error {
  override readonly name = 'SlotTakenError';
}

/**
 * Opens what steps are done with, and closes it. Wherever a step is interrupted, it leaves a state that can be gone on
 * with: a slot is claimed before anything is written to it, the limit is written before the programs are there to read
 * it, and the entry that makes traffic count on the slot comes last. To detach goes the other way.
 * @param digest of the object that is installed
 * @param use gets the function that does one step, which throws BpfError or SlotTakenError
 * @throws BpfError
 */
export function withSteps<T>(pins: Pins, digest: string, use: (apply: (step: Step) => void) => T): T {
  return withMaps(pins, ['owners', 'states', 'counters', 'configs', 'slots'], (maps) => {
    const programs = new Map<Hook, Program>();
    try {
      for (const hook of hooks) {
        const descriptor = openPin(join(pins.programs(digest), programOf[hook]));
        programs.set(hook, { descriptor, id: programId(descriptor) });
      }
      return use((step) => apply(step, { pins, maps, programs }));
    } finally {
      for (const { descriptor } of programs.values()) closeSync(descriptor);
    }
  });
}

function apply(step: Step, parts: Parts): void {
  const { maps, pins } = parts;
  switch (step.kind) {
    case 'attach':
      attach(step, parts);
      break;
    case 'update':
      maps.configs.update(encodeU32(step.slot), encodeConfig(step.config));
      break;
    case 'upgrade':
      for (const hook of hooks) upgradeLink(step.cgroupId, hook, parts);
      break;
    case 'detach':
      if (!step.keepLinks) {
        maps.slots.replace(encodeU64(step.cgroupId), encodeU32(0));
        for (const hook of hooks) unpin(pins.link(step.cgroupId, hook));
      }
      maps.owners.delete(encodeU32(step.slot));
      break;
  }
}

function attach({ slot, owner, cgroup, config, claim, fresh }: AttachStep, parts: Parts): void {
  const { owners, states, counters, configs, slots } = parts.maps;
  const key = encodeU32(slot);
  if (claim && !owners.insert(key, encodeOwner({ cgroupId: cgroup.id, name: owner }))) {
    throw new SlotTakenError(`another process has taken slot ${slot}`);
  }
  if (fresh) {
    states.update(key, new Uint8Array(states.valueSize));
    counters.clearPerCpu(key);
  }
  configs.update(key, encodeConfig(config));
  const enter = () => slots.replace(encodeU64(cgroup.id), encodeU32(slot));
  ensureLinks(cgroup, parts);
  if (enter()) return;
  // The map that the links were made with has lost its pin: the kernel makes the entry only at an attach.
  for (const hook of hooks) unpin(parts.pins.link(cgroup.id, hook));
  ensureLinks(cgroup, parts);
  enter();
}

/** Makes the current programs attached to a cgroup, by pinned links. */
function ensureLinks({ id, path }: Cgroup, parts: Parts): void {
  withCgroup(path, (cgroup) => {
    for (const hook of hooks) if (!upgradeLink(id, hook, parts)) addLink(id, cgroup, hook, parts);
  });
}

function addLink(cgroupId: bigint, cgroup: OpenCgroup, hook: Hook, parts: Parts): void {
  const path = parts.pins.link(cgroupId, hook);
  try {
    attachToCgroup(programFor(hook, parts).descriptor, cgroup, attachTypeOf[hook], path);
  } catch (error) {
    // Another process was faster.
    if (!(error instanceof BpfError) || error.errno !== 'EEXIST') throw error;
    if (!upgradeLink(cgroupId, hook, parts)) throw error;
  }
}

/** Makes a link run the current program. @returns false if nothing is attached; then nothing is pinned either */
function upgradeLink(cgroupId: bigint, hook: Hook, parts: Parts): boolean {
  const path = parts.pins.link(cgroupId, hook);
  const link = readLink(path);
  if (link === undefined) return false;
  if (link.cgroupId !== cgroupId) {
    // Somebody has detached it, and has left the pin.
    unpin(path);
    return false;
  }
  const { descriptor, id } = programFor(hook, parts);
  if (id !== link.programId) updateLink(path, descriptor);
  return true;
}

function programFor(hook: Hook, { programs }: Parts): Program {
  const program = programs.get(hook);
  if (program === undefined) throw new Error(`no program for ${hook}`);
  return program;
}
