import { expect, test } from 'vitest';
import { callTwice } from '../../kube/second-try.ts';

interface Try {
  readonly signal: AbortSignal;
  answer(status: number): void;
  fail(message: string): void;
}

/** Makes a call whose tries do as they are told. */
function call({ silentMs = 10, timeoutMs = 60_000 } = {}) {
  const tries: Try[] = [];
  let seconds = 0;
  const outcome = callTwice<{ status: number }>({
    attempt: (signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        const answer = (status: number) => resolve({ status });
        tries.push({ signal, answer, fail: (message) => reject(new Error(message)) });
      }),
    onSecond: () => {
      seconds += 1;
    },
    isOvertaken: ({ status }) => status === 409,
    ...{ silentMs, timeoutMs },
  });
  outcome.catch(() => {});
  const second = async () => {
    await expect.poll(() => tries.length, { timeout: 10_000, interval: 2 }).toBe(2);
    return tries as [Try, Try];
  };
  return { outcome, tries, second, seconds: () => seconds };
}

test('an answer in time is the only try', async () => {
  const { outcome, tries, seconds } = call({ silentMs: 30_000 });
  tries[0]?.answer(409);
  expect(await outcome).toEqual({ status: 409 });
  expect([tries.length, seconds()]).toEqual([1, 0]);
});

test('a try that fails is followed by a second one at once', async () => {
  const { outcome, tries, second, seconds } = call({ silentMs: 30_000 });
  tries[0]?.fail('closed');
  (await second())[1].answer(200);
  expect(await outcome).toEqual({ status: 200 });
  expect(seconds()).toBe(1);
});

test.each([0, 1])(
  'of two tries that are under way the first answer counts, and the other one is ended: %i',
  async (index) => {
    const { outcome, second } = call();
    const tries = await second();
    tries[index]?.answer(200);
    expect(await outcome).toEqual({ status: 200 });
    expect(tries[1 - index]?.signal.aborted).toBe(true);
  },
);

test('a try that was overtaken by the other one waits for that one’s answer', async () => {
  const { outcome, second } = call();
  const [first, other] = await second();
  other.answer(409);
  await Promise.resolve();
  first.answer(200);
  expect(await outcome).toEqual({ status: 200 });
});

test('a try that was overtaken says so if the other one gets no answer, or was overtaken too', async () => {
  const lost = call();
  const [first, other] = await lost.second();
  first.answer(409);
  other.fail('closed');
  expect(await lost.outcome).toEqual({ status: 409 });
  const both = call();
  for (const each of await both.second()) each.answer(409);
  expect(await both.outcome).toEqual({ status: 409 });
});

test('two tries without an answer end with the reason of the first, or at the end of their time', async () => {
  const failed = call();
  const [first, other] = await failed.second();
  other.fail('closed as well');
  first.fail('closed');
  await expect(failed.outcome).rejects.toThrow('closed');
  await expect(failed.outcome).rejects.not.toThrow('as well');
  const silent = call({ silentMs: 5, timeoutMs: 50 });
  await expect(silent.outcome).rejects.toMatchObject({ name: 'TimeoutError' });
  expect(silent.tries).toHaveLength(2);
});
