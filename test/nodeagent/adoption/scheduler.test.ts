import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { Adopted } from '../../../nodeagent/adoption/iterator.ts';
import { createAdoptions } from '../../../nodeagent/adoption/scheduler.ts';
import type { SlotState } from '../../../nodeagent/shaper/steps.ts';
import { createFakeClock } from '../fake-clock.ts';

function setUp(result: Adopted | Error, isRunning = true) {
  const clock = createFakeClock();
  const looks: string[] = [];
  const logged: { msg: string }[] = [];
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });
  const adoptions = createAdoptions({
    async adopt() {
      looks.push('all');
      if (result instanceof Error) throw result;
      return result;
    },
    isPopulated: async () => isRunning,
    clock,
    log,
  });
  /** File system calls take turns of their own. */
  const advance = async (ms: number) => {
    await clock.advance(ms);
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  return { adoptions, advance, looks, logged };
}

const one = { owner: 'pod/1', cgroup: { id: 1n, path: '/sys/fs/cgroup/one' } };
const slots = [{ owner: 'pod/1' } as SlotState];
const nothing = { attached: [], slots, steps: {} };

test('after a limit came to a running pod, its connections are looked for twice within a second', async () => {
  const { adoptions, advance, looks, logged } = setUp({ paced: 3, fixed: 0 });
  await adoptions.passed({ attached: [one], slots, steps: { attach: 1 } }, false);
  await advance(200);
  expect(looks).toEqual([]);
  await advance(800);
  expect(looks).toEqual(['all', 'all']);
  expect(logged[0]).toMatchObject({ paced: 3, msg: 'connections that are older than their limit are paced' });
});

test('nothing is looked for when a pod was limited before it ran', async () => {
  const { adoptions, advance, looks } = setUp({ paced: 0, fixed: 0 }, false);
  await adoptions.passed({ attached: [one], slots, steps: { attach: 1 } }, false);
  await adoptions.passed(nothing, true);
  await advance(5000);
  expect(looks).toEqual([]);
});

test('thorough passes look again, as long as the pod is limited', async () => {
  const { adoptions, advance, looks } = setUp({ paced: 0, fixed: 0 });
  await adoptions.passed({ attached: [one], slots, steps: {} }, false);
  await advance(1000);
  await adoptions.passed(nothing, true);
  await advance(1000);
  expect(looks).toHaveLength(4);
  await adoptions.passed({ ...nothing, slots: [] }, false);
  await adoptions.passed({ ...nothing, slots: [] }, true);
  await advance(1000);
  expect(looks).toHaveLength(4);
});

test.each([
  [{ paced: 2, fixed: 0 }, 2],
  [{ paced: 0, fixed: 2 }, 4],
])('a change of limits is a reason to look only where rates are fixed: %o', async (adopted, expected) => {
  const { adoptions, advance, looks } = setUp(adopted);
  await adoptions.passed({ attached: [one], slots, steps: {} }, false);
  await advance(1000);
  await adoptions.passed({ ...nothing, steps: { update: 1 } }, false);
  await advance(1000);
  expect(looks).toHaveLength(expected);
});

test('a failure is logged and does no harm, and a stopped one looks no more', async () => {
  const { adoptions, advance, looks, logged } = setUp(new Error('no such thing'));
  await adoptions.passed({ attached: [one], slots, steps: {} }, false);
  await advance(300);
  expect(logged[0]?.msg).toBe('connections that are older than their limit are held by dropping only');
  adoptions.stop();
  await advance(1000);
  expect(looks).toHaveLength(1);
});
