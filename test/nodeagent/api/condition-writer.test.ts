import { expect, test } from 'vitest';
import { createConditions } from '../../../nodeagent/api/condition-writer.ts';
import type { LimitedCondition } from '../../../nodeagent/api/limited-condition.ts';
import type { PodRef } from '../../../nodeagent/pods/desired.ts';
import { createFakeClock, settle } from '../fake-clock.ts';

const inForce: LimitedCondition = { status: 'True', reason: 'InForce', message: 'one' };
const changed: LimitedCondition = { status: 'True', reason: 'InForce', message: 'two' };
const failed: LimitedCondition = { status: 'False', reason: 'AttachFailed', message: 'three' };
const pod = (uid: string, condition?: PodRef['condition']): PodRef => ({ namespace: 'n', name: uid, uid, condition });

function setUp(answer: (uid: string) => Promise<'done' | 'gone'> = async () => 'done') {
  const clock = createFakeClock();
  const patches: { uid: string; message: string; since: string }[] = [];
  const errors: string[] = [];
  const told: string[] = [];
  const conditions = createConditions({
    patch: async ({ uid }, { message, lastTransitionTime }) => {
      patches.push({ uid, message, since: lastTransitionTime });
      return answer(uid);
    },
    onWritten: ({ uid }, { message }, before) => told.push(`${uid}: ${before?.message} > ${message}`),
    onError: (_, error) => errors.push(error.message),
    clock,
    now: () => Date.parse('2030-01-01T00:00:00Z') + clock.now(),
  });
  return { clock, patches, errors, told, conditions };
}

test('a condition is patched once, however often it is wanted', async () => {
  const { conditions, patches } = setUp();
  for (let times = 0; times < 5; times += 1) {
    conditions.want(pod('a'), inForce);
    await settle();
  }
  expect(patches).toEqual([{ uid: 'a', message: 'one', since: '2030-01-01T00:00:00Z' }]);
});

test('a pod that has the condition already is not patched', async () => {
  const { conditions, patches } = setUp();
  conditions.want(pod('a', { type: 'podrate.dev/Limited', ...inForce }), inForce);
  await settle();
  expect(patches).toEqual([]);
});

test('a change that is wanted while a patch is on its way is patched after it', async () => {
  const ends: (() => void)[] = [];
  const { conditions, patches } = setUp(() => new Promise((resolve) => ends.push(() => resolve('done'))));
  conditions.want(pod('a'), inForce);
  conditions.want(pod('a'), changed);
  conditions.want(pod('a'), failed);
  await settle();
  ends[0]?.();
  await settle();
  expect(patches.map(({ message }) => message)).toEqual(['one', 'three']);
});

test('the transition time changes with the status and with nothing else', async () => {
  const { conditions, patches } = setUp();
  const lastTransitionTime = new Date('2029-05-05T05:05:05Z');
  const current = { type: 'podrate.dev/Limited', ...inForce, lastTransitionTime };
  conditions.want(pod('a', current), changed);
  conditions.want(pod('b', current), failed);
  await settle();
  expect(patches.map(({ since }) => since)).toEqual(['2029-05-05T05:05:05Z', '2030-01-01T00:00:00Z']);
});

test('each change that was written is told once, with what was there before', async () => {
  const { conditions, told, clock } = setUp();
  conditions.want(pod('a'), inForce);
  await settle();
  conditions.want(pod('a', { type: 'podrate.dev/Limited', ...inForce }), changed);
  conditions.want(pod('b', { type: 'podrate.dev/Limited', ...inForce }), failed);
  await settle();
  // Somebody else removed it.
  await clock.advance(31_000);
  conditions.want(pod('a'), changed);
  await settle();
  expect(told).toEqual(['a: undefined > one', 'a: one > two', 'b: one > three']);
});

test('what could not be written is not told', async () => {
  const { conditions, told } = setUp(async (uid) => {
    if (uid === 'a') throw new Error('no answer');
    return 'gone';
  });
  conditions.want(pod('a'), inForce);
  conditions.want(pod('b'), inForce);
  await settle();
  expect(told).toEqual([]);
});

test('a patch that fails is tried again until it is done', async () => {
  let failures = 3;
  const { conditions, patches, errors, clock } = setUp(async () => {
    failures -= 1;
    if (failures >= 0) throw new Error('no answer');
    return 'done';
  });
  conditions.want(pod('a'), inForce);
  await settle();
  await clock.advance(60_000);
  expect(patches).toHaveLength(4);
  expect(errors).toEqual(['no answer', 'no answer', 'no answer']);
});

test('a pod that is gone is not tried again', async () => {
  const { conditions, patches, clock } = setUp(async () => 'gone');
  conditions.want(pod('a'), inForce);
  await settle();
  await clock.advance(600_000);
  expect(patches).toHaveLength(1);
});

test('a condition that somebody else removed is written again', async () => {
  const { conditions, patches, clock } = setUp();
  conditions.want(pod('a'), inForce);
  await settle();
  await clock.advance(31_000);
  conditions.want(pod('a'), inForce);
  await settle();
  expect(patches).toHaveLength(2);
});

test('few patches run at a time, and all are done', async () => {
  let running = 0;
  let most = 0;
  const { conditions, patches } = setUp(async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return 'done';
  });
  for (let number = 0; number < 100; number += 1) conditions.want(pod(`p${number}`), inForce);
  while (patches.length < 100) await settle();
  expect(most).toBeLessThanOrEqual(4);
});

test('what is left to be written on a pod that left is still written', async () => {
  let broken = true;
  const { conditions, patches, clock } = setUp(async () => {
    if (broken) throw new Error('no answer');
    return 'done';
  });
  conditions.want(pod('a'), failed);
  await settle();
  conditions.forgetBut(new Set());
  broken = false;
  await clock.advance(60_000);
  expect(patches).toHaveLength(2);
});
