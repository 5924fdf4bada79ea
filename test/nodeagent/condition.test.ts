import { expect, test } from 'vitest';
import { conditionOf, describe as words } from '../../nodeagent/condition.ts';
import type { ShapedPod } from '../../nodeagent/pods/desired.ts';
import type { SlotState } from '../../nodeagent/shaper/steps.ts';
import { type Dscp, parseDscp } from '../../rate/dscp.ts';

const pod: ShapedPod = {
  ...{ namespace: 'default', name: 'web', uid: 'u', cgroupUid: 'u', running: true, terminating: false },
  ...{ hasProcess: true, runtimeClass: undefined },
  ...{ condition: undefined, network: { isHost: false, addresses: [] }, queued: false },
  limit: {},
};
const slot: SlotState = {
  slot: 1,
  cgroupId: 1n,
  owner: 'pod/u',
  isAlive: true,
  isMapped: true,
  attached: new Map(),
  config: {
    egress: { rate: 1_000_000, burstNs: 0 },
    ingress: { rate: 1_500_000, burstNs: 0 },
    release: false,
    queued: false,
  },
};

test('a queue is the usual case and not mentioned; why there is none is', () => {
  const queued = { ...slot, config: { ...slot.config, queued: true } };
  expect(conditionOf({ pod, state: 'in-force', slot: queued })?.message).toMatch(/\(1500000 bytes\/s\)\.$/);
  expect(conditionOf({ pod, state: 'in-force', slot }, undefined, 'it has no device: give it one')?.message).toMatch(
    /bytes\/s\)\. Receiving is policed, not queued: it has no device: give it one\.$/,
  );
});

test('a limit in force is told with both rates, for people and exactly', () => {
  expect(conditionOf({ pod, state: 'in-force', slot })).toEqual({
    status: 'True',
    reason: 'InForce',
    message: 'The pod sends at most 1M (1000000 bytes/s) and receives at most 1.5M (1500000 bytes/s).',
  });
});

test('a pod that is to be limited and marked is told that it is only when it is both', () => {
  const dscp = parseDscp('EF') as Dscp;
  const marked = { pod: { ...pod, limit: { dscp } }, state: 'in-force', slot } as const;
  const limits = 'The pod sends at most 1M (1000000 bytes/s) and receives at most 1.5M (1500000 bytes/s).';
  expect(conditionOf(marked)).toBeUndefined();
  expect(conditionOf(marked, { dscp: 10, problem: undefined })).toBeUndefined();
  expect(conditionOf(marked, { dscp, problem: undefined })).toEqual({
    status: 'True',
    reason: 'InForce',
    message: `${limits} Its packets carry the code point 46 (EF).`,
  });
  expect(conditionOf(marked, { dscp, problem: 'tc is not installed' })).toEqual({
    status: 'False',
    reason: 'NotMarked',
    message: `${limits} Its packets do not carry the code point 46 (EF): tc is not installed.`,
  });
  // What it lacks besides is not the worst.
  const failed = { pod: marked.pod, state: 'failed', reason: new Error('the kernel refused') } as const;
  expect(conditionOf(failed, { dscp, problem: undefined })).toMatchObject({ reason: 'AttachFailed' });
});

test('a direction without a limit is named as such', () => {
  expect(words({ ...slot.config, ingress: { rate: 0, burstNs: 0 } })).toBe(
    'The pod sends at most 1M (1000000 bytes/s) and receives without limit.',
  );
});

test('a failed attach says why', () => {
  expect(conditionOf({ pod, state: 'failed', reason: new Error('the kernel refused') })).toEqual({
    status: 'False',
    reason: 'AttachFailed',
    message: 'The limit is not in force: the kernel refused',
  });
});

test('a missing cgroup is told of a pod that runs, and of no pod that is still being set up', () => {
  expect(conditionOf({ pod, state: 'no-cgroup' })).toMatchObject({ status: 'False', reason: 'NoCgroup' });
  expect(conditionOf({ pod: { ...pod, running: false }, state: 'no-cgroup' })).toBeUndefined();
});

test('a limit that holds nothing is told: no process in the cgroup, or a sandbox', () => {
  expect(conditionOf({ pod, state: 'no-process' })).toMatchObject({ status: 'False', reason: 'NoProcess' });
  const kata = { ...pod, runtimeClass: 'kata-qemu' };
  for (const result of [{ pod: kata, state: 'in-force', slot } as const, { pod: kata, state: 'no-process' } as const]) {
    expect(conditionOf(result)).toMatchObject({
      status: 'False',
      reason: 'Sandboxed',
      message: expect.stringContaining('runtime class kata-qemu'),
    });
  }
});

test('a node without a free slot, and a stamp that cannot be read, are told', () => {
  expect(conditionOf({ pod, state: 'no-slot' })).toMatchObject({ status: 'False', reason: 'NoFreeSlot' });
  expect(conditionOf({ pod, state: 'invalid-stamp', reason: new Error('no JSON') })).toMatchObject({
    status: 'False',
    reason: 'InvalidStamp',
    message: 'The limit cannot be read: no JSON',
  });
});

test.each(['x', 'é', '€', '😀'])(
  'a message of many %s is cut to what the note of an event takes, between characters',
  (piece) => {
    const { message = '' } = conditionOf({ pod, state: 'failed', reason: new Error(piece.repeat(1100)) }) ?? {};
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(1024);
    expect(Buffer.byteLength(message)).toBeGreaterThan(1000);
    expect(message.replaceAll(piece, '')).toBe('The limit is not in force: …');
  },
);
