/** Turns steps into bpftool commands. */
import { type Command, hex } from './bpftool.ts';
import { attachTypeOf, programOf } from './hooks.ts';
import { encodeConfig, encodeOwner, encodeU32, encodeU64 } from './layout.ts';
import type { MapName, Pins } from './pins.ts';
import type { Step } from './state.ts';

/** Sizes of the values that user space only ever clears, in bytes. */
export interface ClearedSizes {
  readonly states: number;
  readonly counters: number;
}

/**
 * The commands of a step, in an order that leaves a consistent state wherever it stops: a slot is claimed before anything is
 * written to it, the limit is written before the programs are there to read it, and the mark that makes traffic count comes last.
 */
export function commandsOf(step: Step, pins: Pins, sizes: ClearedSizes): Command[] {
  if (step.kind === 'remove-generation') return [];
  if (step.kind === 'detach-orphan') {
    const { cgroup, attachType, programId } = step.orphan;
    return [['cgroup', 'detach', cgroup.path, attachType, 'id', String(programId)]];
  }
  const { generation, slot } = step;
  const map = (name: MapName) => ['pinned', pins.map(generation, name)];
  const write = (name: MapName, key: Uint8Array, value: Uint8Array): Command => [
    ...['map', 'update', ...map(name), 'key', ...hex(key), 'value', ...hex(value)],
  ];
  const key = encodeU32(slot);
  const mark = (cgroupId: bigint, value: number) => write('slots', encodeU64(cgroupId), encodeU32(value));
  const release: Command = ['map', 'delete', ...map('owners'), 'key', ...hex(key)];
  const program = (hook: keyof typeof programOf) => ['pinned', pins.program(generation, programOf[hook])];

  switch (step.kind) {
    case 'update':
      return [write('configs', key, encodeConfig(step.config))];
    case 'free':
      return [...(step.known ? [mark(step.cgroupId, 0)] : []), release];
    case 'detach':
      return [
        ...(step.known ? [mark(step.cgroup.id, 0)] : []),
        ...step.hooks.map((hook) => [
          ...['cgroup', 'detach', step.cgroup.path, attachTypeOf(programOf[hook]), ...program(hook)],
        ]),
        release,
      ];
    case 'attach': {
      const owner = encodeOwner({ cgroupId: step.cgroup.id, name: step.owner });
      return [
        ...(step.claim ? [[...write('owners', key, owner), 'noexist']] : []),
        ...(step.fresh
          ? [write('states', key, new Uint8Array(sizes.states)), write('counters', key, new Uint8Array(sizes.counters))]
          : []),
        write('configs', key, encodeConfig(step.config)),
        ...step.hooks.map((hook) => [
          ...['cgroup', 'attach', step.cgroup.path, attachTypeOf(programOf[hook]), ...program(hook), 'multi'],
        ]),
        mark(step.cgroup.id, slot),
      ];
    }
  }
}
