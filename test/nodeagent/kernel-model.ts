import type { Hook } from '../../nodeagent/hooks.ts';
import type { SlotConfig } from '../../nodeagent/layout.ts';
import type { Cgroup, Observation, SlotState, Step } from '../../nodeagent/state.ts';

/** A model of what the kernel holds, with the kernel's rules, on which plans are carried out. */
export interface KernelModel {
  makeCgroup(cgroup: Cgroup): void;
  /** Removes a cgroup; sockets may keep the kernel from forgetting it. */
  removeCgroup(id: bigint, forgotten: boolean): void;
  cgroups(): ReadonlyMap<bigint, Cgroup>;
  /** Puts a slot's owner there as an interrupted agent may have left it; does nothing if there is no such generation. */
  claim(slot: { generation: string; cgroupId: bigint; owner: string; config: SlotConfig; marked: boolean }): void;
  attach(cgroupId: bigint, generation: string, on: readonly Hook[]): void;
  detach(cgroupId: bigint, generation: string, off: readonly Hook[]): void;
  hooksOf(cgroupId: bigint, generation: string): ReadonlySet<Hook>;
  /** Makes another generation the current one. */
  upgrade(generation: string): void;
  /** Looks at everything, the programs of every cgroup included. */
  observe(): Observation;
  /** Carries steps out. @throws Error where the kernel would refuse */
  apply(steps: readonly Step[]): void;
}

interface Maps {
  owners: Map<number, { cgroupId: bigint; name: string }>;
  configs: Map<number, SlotConfig>;
  marks: Map<bigint, number>;
  hooks: Map<bigint, Set<Hook>>;
}

/** Builds a model with generations that are pinned and empty. */
export function createKernelModel(options: { current: string; generations: readonly string[] }): KernelModel {
  let { current } = options;
  const living = new Map<bigint, Cgroup>();
  const empty = (): Maps => ({ owners: new Map(), configs: new Map(), marks: new Map(), hooks: new Map() });
  const generations = new Map(options.generations.map((name) => [name, empty()]));
  const maps = (generation: string) => {
    const found = generations.get(generation);
    if (found === undefined) throw new Error(`no generation ${generation}`);
    return found;
  };
  const attach = (cgroupId: bigint, generation: string, on: readonly Hook[]) => {
    if (!living.has(cgroupId)) throw new Error(`no cgroup ${cgroupId}`);
    const { hooks, marks } = maps(generation);
    const there = hooks.get(cgroupId) ?? new Set();
    for (const hook of on) {
      if (there.has(hook)) throw new Error(`EINVAL: ${hook} is attached to ${cgroupId} already`);
      there.add(hook);
    }
    hooks.set(cgroupId, there);
    if (there.size > 0 && !marks.has(cgroupId)) marks.set(cgroupId, 0);
  };
  const detach = (cgroupId: bigint, generation: string, off: readonly Hook[]) => {
    const there = maps(generation).hooks.get(cgroupId);
    for (const hook of off) if (!there?.delete(hook)) throw new Error(`ENOENT: ${hook} is not attached to ${cgroupId}`);
  };
  const mark = (generation: string, cgroupId: bigint, slot: number) => {
    const { marks } = maps(generation);
    if (!marks.has(cgroupId)) throw new Error(`ENOENT: no entry of cgroup ${cgroupId}`);
    marks.set(cgroupId, slot);
  };
  const apply = (step: Step) => {
    switch (step.kind) {
      case 'attach': {
        const { owners, configs } = maps(step.generation);
        if (step.claim && owners.has(step.slot)) throw new Error(`EEXIST: slot ${step.slot}`);
        if (step.claim) owners.set(step.slot, { cgroupId: step.cgroup.id, name: step.owner });
        configs.set(step.slot, step.config);
        attach(step.cgroup.id, step.generation, step.hooks);
        mark(step.generation, step.cgroup.id, step.slot);
        break;
      }
      case 'update':
        maps(step.generation).configs.set(step.slot, step.config);
        break;
      case 'detach':
        if (step.known) mark(step.generation, step.cgroup.id, 0);
        detach(step.cgroup.id, step.generation, step.hooks);
        maps(step.generation).owners.delete(step.slot);
        break;
      case 'free':
        if (step.known) mark(step.generation, step.cgroupId, 0);
        maps(step.generation).owners.delete(step.slot);
        break;
      case 'remove-generation':
        if (maps(step.generation).owners.size > 0) throw new Error(`generation ${step.generation} is still in use`);
        generations.delete(step.generation);
        break;
      case 'detach-orphan':
        break;
    }
  };

  return {
    makeCgroup: (cgroup) => living.set(cgroup.id, cgroup),
    removeCgroup(id, forgotten) {
      living.delete(id);
      for (const { marks, hooks } of generations.values()) {
        hooks.delete(id);
        if (forgotten) marks.delete(id);
      }
    },
    cgroups: () => living,
    claim({ generation, cgroupId, owner, config, marked }) {
      const found = generations.get(generation);
      if (found === undefined) return;
      const slot = found.owners.size + 1;
      found.owners.set(slot, { cgroupId, name: owner });
      found.configs.set(slot, config);
      // The mark is written last: with it, all hooks are there.
      if (!marked) return;
      found.hooks.set(cgroupId, new Set<Hook>(['egress', 'ingress', 'sockops']));
      found.marks.set(cgroupId, slot);
    },
    attach(cgroupId, generation, on) {
      const there = generations.get(generation)?.hooks.get(cgroupId) ?? new Set();
      attach(
        cgroupId,
        generation,
        on.filter((hook) => !there.has(hook)),
      );
    },
    detach,
    hooksOf: (cgroupId, generation) => generations.get(generation)?.hooks.get(cgroupId) ?? new Set(),
    upgrade(generation) {
      generations.set(generation, empty());
      current = generation;
    },
    observe() {
      const slots = [...generations].flatMap(([generation, { owners, configs, marks }]) =>
        [...owners].map(([slot, { cgroupId, name }]): SlotState => {
          const marked = marks.get(cgroupId) === slot;
          return { generation, slot, cgroupId, owner: name, config: configs.get(slot) as SlotConfig, marked };
        }),
      );
      const attached = new Map(
        [...living.keys()].map((id) => [
          id,
          new Map([...generations].map(([name, { hooks }]) => [name, new Set(hooks.get(id))])),
        ]),
      );
      return {
        generation: current,
        oldGenerations: [...generations.keys()].filter((name) => name !== current),
        slots,
        known: new Map([...generations].map(([name, { marks }]) => [name, new Map(marks)])),
        attached,
        orphans: [],
      };
    },
    apply(steps) {
      for (const step of steps) apply(step);
    },
  };
}
