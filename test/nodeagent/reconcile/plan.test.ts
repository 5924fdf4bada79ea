import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Cgroup } from '../../../nodeagent/cgroup/tree.ts';
import {
  claimMs,
  type PlanInput,
  plan,
  releaseMs,
  sameConfig,
  type Target,
} from '../../../nodeagent/reconcile/plan.ts';
import { hooks } from '../../../nodeagent/shaper/hooks.ts';
import type { SlotConfig } from '../../../nodeagent/shaper/layout.ts';
import { createKernelModel, type KernelModel } from './kernel-model.ts';

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
    slots: model.observe(),
    releasedMs: () => releaseMs,
    goneMs: () => claimMs,
    ...more,
  };
}

/** Plans and applies until nothing is left to do. */
function converge(model: KernelModel, targets: readonly Target[]): number {
  for (let round = 0; round < 6; round += 1) {
    const { steps, againInMs } = plan(input(model, targets));
    if (steps.length === 0 && againInMs === undefined) return round;
    model.apply(steps);
  }
  throw new Error(`does not converge: ${JSON.stringify(plan(input(model, targets)).steps, replacer)}`);
}
const replacer = (_: string, value: unknown) => (typeof value === 'bigint' ? Number(value) : value);

/** A model in which cgroup 1 is limited. */
function limited(): KernelModel {
  const model = createKernelModel();
  model.makeCgroup(cgroup(1));
  converge(model, [target(1)]);
  return model;
}

describe('a plan converges', () => {
  const ids = [1, 2, 3, 4, 5, 6, 7, 8];
  const slotState = fc.record({
    cgroup: fc.constantFrom(...ids),
    owner: fc.constantFrom('pod', 'stale', 'manual'),
    rate: fc.integer({ min: 1000, max: 1005 }),
    release: fc.boolean(),
    isMapped: fc.boolean(),
  });
  const scene = fc.record({
    slots: fc.array(slotState, { maxLength: 10 }),
    attached: fc.array(fc.tuple(fc.constantFrom(...ids), fc.subarray([...hooks])), { maxLength: 10 }),
    upgraded: fc.boolean(),
    alive: fc.subarray(ids),
    wanted: fc.subarray(ids),
    rate: fc.integer({ min: 1000, max: 1005 }),
    forgotten: fc.boolean(),
  });

  test('from whatever an interrupted agent may have left to what is wanted, and leaves nothing over', () => {
    fc.assert(
      fc.property(scene, ({ slots, attached, upgraded, alive, wanted, rate, forgotten }) => {
        const model = createKernelModel();
        for (const id of ids) model.makeCgroup(cgroup(id));
        for (const [id, on] of attached) model.attach(BigInt(id), on);
        for (const slot of slots) {
          const owner = slot.owner === 'stale' ? `pod/stale${slot.cgroup}` : `${slot.owner}/${slot.cgroup}`;
          const config = { ...limit(slot.rate), release: slot.release };
          model.claim({ owner, cgroupId: BigInt(slot.cgroup), config, isMapped: slot.isMapped });
        }
        if (upgraded) model.upgrade();
        for (const id of ids) if (!alive.includes(id)) model.removeCgroup(BigInt(id), forgotten);
        const targets = wanted.filter((id) => alive.includes(id)).map((id) => target(id, rate));
        converge(model, targets);
        for (const { owner, cgroup: at, config } of targets) {
          const held = model.observe().filter((slot) => slot.owner === owner);
          expect(held).toHaveLength(1);
          expect(held[0]?.isMapped).toBe(true);
          expect(sameConfig(held[0]?.config as SlotConfig, config)).toBe(true);
          expect(model.hooksOf(at.id)).toEqual(new Map(hooks.map((hook) => [hook, 'current'])));
        }
        const podSlots = model.observe().filter((slot) => slot.owner.startsWith('pod/'));
        expect(podSlots.map((slot) => slot.owner).sort()).toEqual(targets.map(({ owner }) => owner).sort());
      }),
      { numRuns: 2000 },
    );
  });

  test('and plans nothing for what is in force already', () => {
    const model = createKernelModel();
    const targets = [1, 2, 3].map((id) => target(id));
    for (const one of targets) model.makeCgroup(one.cgroup);
    expect(converge(model, targets)).toBe(1);
    expect(plan(input(model, targets)).steps).toEqual([]);
  });
});

test('a live change is one update that touches neither state nor programs', () => {
  const { steps } = plan(input(limited(), [target(1, 2_000_000)]));
  expect(steps).toEqual([{ kind: 'update', slot: 1, owner: 'pod/1', config: limit(2_000_000) }]);
});

describe('a pod that no longer asks for a limit', () => {
  test('has its sockets set free, and the programs leave only after they had time to notice', () => {
    const model = limited();
    const first = plan(input(model, []));
    expect(first.steps).toMatchObject([{ kind: 'update', config: { release: true } }]);
    expect(first.againInMs).toBe(releaseMs);
    model.apply(first.steps);
    const early = plan(input(model, [], { releasedMs: () => 100 }));
    expect(early).toMatchObject({ steps: [], againInMs: releaseMs - 100 });
    expect(plan(input(model, [])).steps).toMatchObject([{ kind: 'detach', keepLinks: false }]);
  });

  test('waits anew when the agent was restarted in between', () => {
    const model = limited();
    model.apply(plan(input(model, [])).steps);
    expect(plan(input(model, [], { releasedMs: () => 0 }))).toMatchObject({ steps: [], againInMs: releaseMs });
  });

  test('gets its limit back by one update if it asks again meanwhile', () => {
    const model = limited();
    model.apply(plan(input(model, [])).steps);
    expect(plan(input(model, [target(1)])).steps).toMatchObject([{ kind: 'update', config: { release: false } }]);
  });
});

describe('a slot without a cgroup', () => {
  test('is given back after the time that another process has from its claim to its attach', () => {
    const model = limited();
    model.removeCgroup(1n, true);
    expect(plan(input(model, [], { goneMs: () => 0 }))).toMatchObject({ steps: [], againInMs: claimMs });
    expect(plan(input(model, [])).steps).toMatchObject([{ kind: 'detach', slot: 1 }]);
  });

  test('is released first while sockets keep the cgroup in the kernel', () => {
    const model = limited();
    model.removeCgroup(1n, false);
    expect(plan(input(model, [])).steps).toMatchObject([{ kind: 'update', config: { release: true } }]);
  });
});

describe('an upgrade of the programs', () => {
  test('updates the links and keeps slot, state and limit', () => {
    const model = limited();
    model.upgrade();
    const { steps } = plan(input(model, [target(1)]));
    expect(steps).toEqual([{ kind: 'upgrade', owner: 'pod/1', cgroupId: 1n }]);
    model.apply(steps);
    expect(plan(input(model, [target(1)])).steps).toEqual([]);
  });

  test('updates the links of what is limited by hand too', () => {
    const model = createKernelModel();
    model.makeCgroup(cgroup(7));
    converge(model, [{ owner: 'manual/7', cgroup: cgroup(7), config: limit(5000) }]);
    model.upgrade();
    expect(plan(input(model, [])).steps).toEqual([{ kind: 'upgrade', owner: 'manual/7', cgroupId: 7n }]);
  });
});

describe('what is not the agent’s', () => {
  test('a cgroup limited by hand is left alone while it lives and freed when it is gone', () => {
    const model = createKernelModel();
    model.makeCgroup(cgroup(7));
    converge(model, [{ owner: 'manual/7', cgroup: cgroup(7), config: limit(5000) }]);
    expect(plan(input(model, [])).steps).toEqual([]);
    model.removeCgroup(7n, true);
    expect(plan(input(model, [])).steps).toMatchObject([{ kind: 'detach', owner: 'manual/7' }]);
  });

  test('an owner that is to be kept is not touched, though no target asks for it', () => {
    expect(plan(input(limited(), [], { keep: new Set(['pod/1']) })).steps).toEqual([]);
  });
});

describe('slots', () => {
  test('are given out from 1, and a target that finds none is refused', () => {
    const model = createKernelModel();
    const targets = Array.from({ length: 1030 }, (_, index) => target(index + 1));
    const { steps, refused } = plan(input(model, targets));
    expect(steps).toHaveLength(1023);
    expect(new Set(steps.map((step) => ('slot' in step ? step.slot : 0))).size).toBe(1023);
    expect(refused).toHaveLength(7);
  });

  test('a hook that went missing is put back without clearing the counters', () => {
    const model = limited();
    model.detach(1n, ['ingress']);
    const { steps } = plan(input(model, [target(1)]));
    expect(steps).toMatchObject([{ kind: 'attach', claim: false, fresh: false }]);
  });

  test('a slot whose cgroup another slot has taken over is given back, and the links stay', () => {
    const model = limited();
    model.claim({ cgroupId: 1n, owner: 'manual/1', config: limit(1), isMapped: false });
    const { steps } = plan(input(model, [target(1)]));
    expect(steps).toEqual([{ kind: 'detach', slot: 2, owner: 'manual/1', cgroupId: 1n, keepLinks: true }]);
  });
});
