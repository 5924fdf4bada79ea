import type { Cgroup } from '../../../nodeagent/cgroup/tree.ts';
import { type Hook, hooks } from '../../../nodeagent/shaper/hooks.ts';
import type { SlotConfig } from '../../../nodeagent/shaper/layout.ts';
import type { Attached, SlotState, Step } from '../../../nodeagent/shaper/steps.ts';

/** A model of what the kernel holds, with the kernel's rules, on which plans are carried out. */
export interface KernelModel {
  makeCgroup(cgroup: Cgroup): void;
  /** Removes a cgroup; sockets may keep the kernel from forgetting it. */
  removeCgroup(id: bigint, forgotten: boolean): void;
  /** Puts a slot's owner there as an interrupted agent may have left it. */
  claim(slot: { cgroupId: bigint; owner: string; config: SlotConfig; isMapped: boolean }): void;
  attach(cgroupId: bigint, on: readonly Hook[]): void;
  detach(cgroupId: bigint, off: readonly Hook[]): void;
  hooksOf(cgroupId: bigint): ReadonlyMap<Hook, Attached>;
  /** Makes everything that is attached be of another version. */
  upgrade(): void;
  observe(): SlotState[];
  /** Carries steps out. @throws Error where the kernel would refuse */
  apply(steps: readonly Step[]): void;
}

/** Builds a model of an empty kernel. */
export function createKernelModel(): KernelModel {
  const living = new Map<bigint, Cgroup>();
  const owners = new Map<number, { cgroupId: bigint; name: string }>();
  const configs = new Map<number, SlotConfig>();
  const entries = new Map<bigint, number>();
  const links = new Map<bigint, Map<Hook, Attached>>();
  const attach = (cgroupId: bigint, on: readonly Hook[]) => {
    if (!living.has(cgroupId)) throw new Error(`no cgroup ${cgroupId}`);
    const there = links.get(cgroupId) ?? new Map<Hook, Attached>();
    for (const hook of on) there.set(hook, 'current');
    links.set(cgroupId, there);
    if (there.size > 0 && !entries.has(cgroupId)) entries.set(cgroupId, 0);
  };
  const apply = (step: Step) => {
    switch (step.kind) {
      case 'attach':
        if (step.claim && owners.has(step.slot)) throw new Error(`EEXIST: slot ${step.slot}`);
        if (step.claim) owners.set(step.slot, { cgroupId: step.cgroup.id, name: step.owner });
        configs.set(step.slot, step.config);
        attach(step.cgroup.id, hooks);
        entries.set(step.cgroup.id, step.slot);
        break;
      case 'update':
        configs.set(step.slot, step.config);
        break;
      case 'upgrade':
        for (const hook of links.get(step.cgroupId)?.keys() ?? []) links.get(step.cgroupId)?.set(hook, 'current');
        break;
      case 'detach':
        if (!step.keepLinks) {
          if (entries.has(step.cgroupId)) entries.set(step.cgroupId, 0);
          links.delete(step.cgroupId);
        }
        owners.delete(step.slot);
        break;
    }
  };

  return {
    makeCgroup: (cgroup) => living.set(cgroup.id, cgroup),
    removeCgroup(id, forgotten) {
      living.delete(id);
      links.delete(id);
      if (forgotten) entries.delete(id);
    },
    claim({ cgroupId, owner, config, isMapped }) {
      const slot = owners.size + 1;
      owners.set(slot, { cgroupId, name: owner });
      configs.set(slot, config);
      // The entry is written last: with it, all hooks are there.
      if (!isMapped) return;
      attach(cgroupId, hooks);
      entries.set(cgroupId, slot);
    },
    attach,
    detach(cgroupId, off) {
      for (const hook of off) links.get(cgroupId)?.delete(hook);
    },
    hooksOf: (cgroupId) => links.get(cgroupId) ?? new Map(),
    upgrade() {
      for (const there of links.values()) for (const hook of there.keys()) there.set(hook, 'outdated');
    },
    observe: () =>
      [...owners].map(([slot, { cgroupId, name }]) => ({
        slot,
        cgroupId,
        owner: name,
        config: configs.get(slot) as SlotConfig,
        isAlive: entries.has(cgroupId),
        isMapped: entries.get(cgroupId) === slot,
        attached: new Map(links.get(cgroupId)),
      })),
    apply(steps) {
      for (const step of steps) apply(step);
    },
  };
}
