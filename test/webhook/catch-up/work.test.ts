import { beforeEach, describe, expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import type { InstallationPolicy } from '../../../rate/policy.ts';
import { createAdmission } from '../../../webhook/admission.ts';
import { type Backlog, createBacklog } from '../../../webhook/catch-up/backlog.ts';
import type { SeenPod } from '../../../webhook/catch-up/seen-pod.ts';
import type { StampOutcome } from '../../../webhook/catch-up/stamping.ts';
import { firstRetryMs, gapMs, refusedMs, workOff } from '../../../webhook/catch-up/work.ts';
import { seenPod } from './seen-pods.ts';

const keys = labelKeys('rate');
const installation: InstallationPolicy = { default: {}, max: {} };

let backlog: Backlog;
/** The tries, with their times. */
let tries: [number, string][];
let lines: string[];
let counted: string[];
let answer: (seen: SeenPod) => StampOutcome;
let labels: Record<string, string>;
beforeEach(() => {
  backlog = createBacklog(keys);
  [tries, lines, counted, labels] = [[], [], [], {}];
  answer = () => ({ outcome: 'stamped' });
});

/** Works for a time, in ms, without jitter. */
async function work(forMs: number): Promise<void> {
  const stop = new AbortController();
  let now = 0;
  const log = (_: object, message: string) => lines.push(message);
  await workOff({
    ...{ backlog, random: () => 0.5, signal: stop.signal },
    validate: createAdmission({ keys, installation, readNamespace: async () => labels, quota: undefined }).validate,
    async stamp(seen) {
      tries.push([now, seen.uid]);
      return answer(seen);
    },
    metrics: { outcome: (outcome) => counted.push(outcome), failure: () => counted.push('failure') },
    log: { info: log, warn: log, error: log },
    clock: {
      nowMs: () => now,
      async sleep(ms) {
        now += ms;
        if (now >= forMs) stop.abort();
      },
    },
  });
}

test('pods are stamped one after the other, a few a second, and then forgotten', async () => {
  for (const uid of ['a', 'b', 'c']) backlog.see(seenPod(uid, 1), 0);
  await work(60_000);
  expect(tries).toEqual([
    [0, 'a'],
    [gapMs, 'b'],
    [2 * gapMs, 'c'],
  ]);
  expect(counted).toEqual(['stamped', 'stamped', 'stamped']);
  expect(backlog.count('waiting')).toBe(0);
});

describe('a pod that may not have its stamp', () => {
  test.each([
    ['whose label is no rate', { rate: '10' }, {}],
    ['that is above the maximum', { rate: '5M' }, { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '2M' }],
    ['whose namespace has no usable policy', { rate: '5M' }, { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '2' }],
    ['that only warn lets be without a rate', { rate: '10' }, { 'podrate.dev/mode': 'warn' }],
  ])('%s is left and told once', async (_, rate, policy) => {
    labels = policy as Record<string, string>;
    backlog.see(seenPod('a', 1, rate), 0);
    await work(2.5 * refusedMs);
    expect(tries).toEqual([]);
    expect(counted).toEqual(['refused', 'refused', 'refused']);
    expect(lines).toEqual(['a pod stays without its stamp']);
    expect(backlog.count('refused')).toBe(1);
  });

  test('because admission refuses the update is asked about again much later, and told again with another reason', async () => {
    backlog.see(seenPod('a', 1), 0);
    answer = () => ({ outcome: 'refused', reason: tries.length < 3 ? 'exceeded quota' : 'something else' });
    await work(2.5 * refusedMs);
    expect(tries.map(([at]) => Math.round(at / refusedMs))).toEqual([0, 1, 2]);
    expect(lines).toHaveLength(2);
  });
});

test('a pod above the maximum of a policy that only warns is stamped', async () => {
  labels = { 'podrate.dev/mode': 'warn', 'podrate.dev/max': '2M' };
  backlog.see(seenPod('a', 1, { rate: '5M' }), 0);
  await work(1_000);
  expect(counted).toEqual(['stamped']);
});

test('an update that does nothing is tried again after waits that double, and told once', async () => {
  backlog.see(seenPod('a', 1), 0);
  answer = () => ({ outcome: 'unanswered' });
  await work(40_000);
  const waits = tries.slice(1).map(([at], index) => at - (tries[index]?.[0] ?? 0));
  expect(waits).toEqual([1, 2, 4, 8, 16].map((times) => times * firstRetryMs));
  expect(lines).toEqual(['updates of a pod do not get to admission']);
  expect(backlog.count('tried')).toBe(1);
});

test('an update that came too late is no reason for a word, and a pod that is gone is forgotten', async () => {
  backlog.see(seenPod('a', 1), 0);
  answer = () => ({ outcome: tries.length < 2 ? 'changed' : 'gone' });
  await work(20_000);
  expect(counted).toEqual(['changed', 'gone']);
  expect(lines).toEqual([]);
  expect(backlog.count('tried')).toBe(0);
});

test('while the API server is away nothing is lost, and nothing is tried more often than every 30 s', async () => {
  for (const uid of ['a', 'b']) backlog.see(seenPod(uid, 1), 0);
  answer = () => {
    if (tries.length <= 10) throw new Error('away');
    return { outcome: 'stamped' };
  };
  await work(300_000);
  const waits = tries.slice(1, 11).map(([at], index) => (at - (tries[index]?.[0] ?? 0)) / 1_000);
  expect(waits).toEqual([1, 2, 4, 8, 16, 30, 30, 30, 30, 30]);
  expect(counted.slice(10)).toEqual(['stamped', 'stamped']);
});

test('a pod that always fails does not keep the others from their stamps', async () => {
  for (const uid of ['bad', 'a', 'b']) backlog.see(seenPod(uid, 1), 0);
  answer = ({ uid }) => {
    if (uid === 'bad') throw new Error('another webhook is broken');
    return { outcome: 'stamped' };
  };
  await work(3_000);
  expect(counted.filter((outcome) => outcome === 'stamped')).toHaveLength(2);
  expect(backlog.count('tried')).toBe(1);
});
