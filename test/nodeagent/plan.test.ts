import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Hook, hooks } from '../../nodeagent/hooks.ts';
import type { SlotConfig } from '../../nodeagent/layout.ts';
import { forgetMs, type PlanInput, plan, releaseMs, sameConfig, type Target } from '../../nodeagent/plan.ts';
import type { Cgroup, Observation } from '../../nodeagent/state.ts';
import { createKernelModel, type KernelModel } from './kernel-model.ts';

const current = 'aaaaaaaaaaaa';
const old = 'bbbbbbbbbbbb';
const cgroup = (id: number): Cgroup => ({ id: BigInt(id), path: `/cg/${id}` });
const limit = (rate: number): SlotConfig => ({
  egress: { rate, burstNs: 0 },
  ingress: { rate, burstNs: 0 },
  release: false,
  queued: false,
});
const target = (id: number, rate = 1_000_000): Target => ({
  owner: `pod/${id}`,
  cgroup: cgroup(id),
  config: limit(rate),
});

function input(model: KernelModel, targets: readonly Target[], more: Partial<PlanInput> = {}): PlanInput {
  return {
    targets,
    keep: new Set(),
    cgroups: model.cgroups(),
    observation: model.observe(),
    releasedMs: () => releaseMs,
    vanishedMs: () => forgetMs,
    ...more,
  };
}

/** Plans and applies until nothing is left to do. */
function converge(model: KernelModel, targets: readonly Target[], more: Partial<PlanInput> = {}): number {
  for (let round = 0; round < 6; round += 1) {
    const { steps, againInMs } = plan(input(model, targets, more));
    if (steps.length === 0 && againInMs === undefined) return round;
    model.apply(steps);
  }
  throw new Error(`does not converge: ${JSON.stringify(plan(input(model, targets, more)).steps, replacer)}`);
}
const replacer = (_: string, value: unknown) => (typeof value === 'bigint' ? Number(value) : value);

describe('a plan converges', () => {
  const hookSet = fc.subarray([...hooks]);
  const slotState = fc.record({
    generation: fc.constantFrom(current, old),
    cgroup: fc.integer({ min: 1, max: 8 }),
    owner: fc.constantFrom('pod', 'stale', 'manual'),
    rate: fc.integer({ min: 1000, max: 1005 }),
    release: fc.boolean(),
    marked: fc.boolean(),
  });
  const scene = fc.record({
    slots: fc.array(slotState, { maxLength: 10 }),
    attached: fc.array(fc.tuple(fc.integer({ min: 1, max: 8 }), fc.constantFrom(current, old), hookSet), {
      maxLength: 10,
    }),
    alive: fc.subarray([1, 2, 3, 4, 5, 6, 7, 8]),
    wanted: fc.subarray([1, 2, 3, 4, 5, 6, 7, 8]),
    rate: fc.integer({ min: 1000, max: 1005 }),
    forgotten: fc.boolean(),
  });

  test('from whatever an interrupted agent may have left, to what is wanted, and nothing is left over', () => {
    fc.assert(
      fc.property(scene, ({ slots, attached, alive, wanted, rate, forgotten }) => {
        const model = createKernelModel({ current, generations: [current, old] });
        for (const id of [1, 2, 3, 4, 5, 6, 7, 8]) model.makeCgroup(cgroup(id));
        for (const slot of slots) {
          const owner = slot.owner === 'stale' ? `pod/stale${slot.cgroup}` : `${slot.owner}/${slot.cgroup}`;
          model.claim({
            ...slot,
            owner,
            cgroupId: BigInt(slot.cgroup),
            config: { ...limit(slot.rate), release: slot.release },
          });
        }
        for (const [id, generation, on] of attached) model.attach(BigInt(id), generation, on);
        for (const id of [1, 2, 3, 4, 5, 6, 7, 8]) {
          if (!alive.includes(id)) model.removeCgroup(BigInt(id), forgotten);
        }
        const targets = wanted.filter((id) => alive.includes(id)).map((id) => target(id, rate));
        converge(model, targets);
        for (const { owner, cgroup, config } of targets) {
          const held = model.observe().slots.filter((slot) => slot.owner === owner && slot.generation === current);
          expect(held).toHaveLength(1);
          expect(held[0]?.marked).toBe(true);
          expect(sameConfig(held[0]?.config as SlotConfig, config)).toBe(true);
          expect(model.hooksOf(cgroup.id, current)).toEqual(new Set(hooks));
        }
        const podSlots = model.observe().slots.filter((slot) => slot.owner.startsWith('pod/'));
        expect(podSlots.map((slot) => slot.owner).sort()).toEqual(targets.map(({ owner }) => owner).sort());
      }),
      { numRuns: 2000 },
    );
  });

  test('and what is in force already needs no step at all', () => {
    const model = createKernelModel({ current, generations: [current] });
    const targets = [1, 2, 3].map((id) => target(id));
    for (const { cgroup } of targets) model.makeCgroup(cgroup);
    expect(converge(model, targets)).toBe(1);
    expect(plan(input(model, targets)).steps).toEqual([]);
  });
});

describe('a live change', () => {
  test('is one update that touches neither state nor programs', () => {
    const model = createKernelModel({ current, generations: [current] });
    model.makeCgroup(cgroup(1));
    converge(model, [target(1)]);
    const { steps } = plan(input(model, [target(1, 2_000_000)]));
    expect(steps).toEqual([{ kind: 'update', generation: current, slot: 1, owner: 'pod/1', config: limit(2_000_000) }]);
  });
});

describe('a pod that no longer asks for a limit', () => {
  const setUp = () => {
    const model = createKernelModel({ current, generations: [current] });
    model.makeCgroup(cgroup(1));
    converge(model, [target(1)]);
    return model;
  };

  test('has its sockets set free, and the programs leave only after they had time to notice', () => {
    const model = setUp();
    const first = plan(input(model, []));
    expect(first.steps).toMatchObject([{ kind: 'update', config: { release: true } }]);
    expect(first.againInMs).toBe(releaseMs);
    model.apply(first.steps);
    const early = plan(input(model, [], { releasedMs: () => 100 }));
    expect(early).toMatchObject({ steps: [], againInMs: releaseMs - 100 });
    expect(plan(input(model, [])).steps).toMatchObject([{ kind: 'detach', hooks: ['egress', 'ingress', 'sockops'] }]);
  });

  test('waits anew when the agent was restarted in between', () => {
    const model = setUp();
    model.apply(plan(input(model, [])).steps);
    expect(plan(input(model, [], { releasedMs: () => undefined }))).toMatchObject({ steps: [], againInMs: releaseMs });
  });

  test('gets its limit back by one update if it asks again meanwhile', () => {
    const model = setUp();
    model.apply(plan(input(model, [])).steps);
    expect(plan(input(model, [target(1)])).steps).toMatchObject([{ kind: 'update', config: { release: false } }]);
  });
});

describe('a pod whose cgroup is gone', () => {
  test('gives its slot back without a detach', () => {
    const model = createKernelModel({ current, generations: [current] });
    model.makeCgroup(cgroup(1));
    converge(model, [target(1)]);
    model.removeCgroup(1n, true);
    expect(plan(input(model, [])).steps).toMatchObject([{ kind: 'free', known: false }]);
  });

  test('keeps its slot for a while if sockets keep the cgroup alive, and then has its mark cleared first', () => {
    const model = createKernelModel({ current, generations: [current] });
    model.makeCgroup(cgroup(1));
    converge(model, [target(1)]);
    model.removeCgroup(1n, false);
    expect(plan(input(model, [], { vanishedMs: () => 0 }))).toMatchObject({ steps: [], againInMs: forgetMs / 4 });
    expect(plan(input(model, [])).steps).toMatchObject([{ kind: 'free', known: true }]);
  });
});

describe('an upgrade of the object', () => {
  test('lets the old programs go only after the new ones were seen to be there', () => {
    const model = createKernelModel({ current: old, generations: [old] });
    model.makeCgroup(cgroup(1));
    converge(model, [target(1)]);
    model.upgrade(current);
    const first = plan(input(model, [target(1)]));
    expect(first.steps).toMatchObject([{ kind: 'attach', generation: current }]);
    model.apply(first.steps);
    const second = plan(input(model, [target(1)]));
    expect(second.steps).toMatchObject([{ kind: 'detach', generation: old }]);
    model.apply(second.steps);
    expect(plan(input(model, [target(1)])).steps).toEqual([{ kind: 'remove-generation', generation: old }]);
  });
});

describe('what is not the agent’s', () => {
  test('a cgroup limited by hand is left alone while it lives and freed when it is gone', () => {
    const model = createKernelModel({ current, generations: [current] });
    model.makeCgroup(cgroup(7));
    converge(model, [{ owner: 'manual/7', cgroup: cgroup(7), config: limit(5000) }]);
    expect(plan(input(model, [])).steps).toEqual([]);
    model.removeCgroup(7n, true);
    expect(plan(input(model, [])).steps).toMatchObject([{ kind: 'free', owner: 'manual/7' }]);
  });

  test('an owner that is to be kept is not touched, though no target asks for it', () => {
    const model = createKernelModel({ current, generations: [current] });
    model.makeCgroup(cgroup(1));
    converge(model, [target(1)]);
    expect(plan(input(model, [], { keep: new Set(['pod/1']) })).steps).toEqual([]);
  });

  test('an orphan of ours leaves a cgroup only once its limit is in force otherwise', () => {
    const model = createKernelModel({ current, generations: [current] });
    model.makeCgroup(cgroup(1));
    const orphan = { cgroup: cgroup(1), attachType: 'egress', programId: 99, program: 'podrate_egress' };
    const withOrphan = (): Partial<PlanInput> => ({ observation: { ...model.observe(), orphans: [orphan] } });
    expect(plan(input(model, [target(1)], withOrphan())).steps.map(({ kind }) => kind)).toEqual(['attach']);
    converge(model, [target(1)]);
    expect(plan(input(model, [target(1)], withOrphan())).steps).toEqual([{ kind: 'detach-orphan', orphan }]);
  });
});

describe('slots', () => {
  test('are given out from 1, and a target that finds none is told', () => {
    const model = createKernelModel({ current, generations: [current] });
    const targets = Array.from({ length: 1030 }, (_, index) => target(index + 1));
    for (const { cgroup } of targets) model.makeCgroup(cgroup);
    const { steps, refused } = plan(input(model, targets));
    expect(steps).toHaveLength(1023);
    expect(new Set(steps.map((step) => ('slot' in step ? step.slot : 0))).size).toBe(1023);
    expect(refused).toHaveLength(7);
  });

  test('a hook that went missing is put back without clearing the counters', () => {
    const model = createKernelModel({ current, generations: [current] });
    model.makeCgroup(cgroup(1));
    converge(model, [target(1)]);
    model.detach(1n, current, ['ingress'] as Hook[]);
    const { steps } = plan(input(model, [target(1)]));
    expect(steps).toMatchObject([{ kind: 'attach', claim: false, fresh: false, hooks: ['ingress'] }]);
  });

  test('no observation means no step', () => {
    const nothing: Observation = {
      generation: current,
      oldGenerations: [],
      slots: [],
      known: new Map(),
      attached: new Map(),
      orphans: [],
    };
    const model = createKernelModel({ current, generations: [current] });
    expect(plan(input(model, [], { observation: nothing })).steps).toEqual([]);
  });
});
