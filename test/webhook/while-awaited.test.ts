import { expect, test } from 'vitest';
import { ApiFailure } from '../../kube/api-failure.ts';
import { whileAwaited } from '../../webhook/while-awaited.ts';

/** Fails with each error once, then gives the number of tries. */
function failing(...errors: Error[]) {
  let tries = 0;
  return async () => {
    const error = errors[tries];
    tries += 1;
    if (error !== undefined) throw error;
    return tries;
  };
}
const unanswered = new ApiFailure('no answer');
const answered = (status: number) => new ApiFailure(`HTTP ${status}`, { status });

test('a call without an answer, or to a server that is busy, is made again', async () => {
  const caller = new AbortController();
  expect(await whileAwaited(failing(unanswered, answered(429), answered(500), answered(503)), caller)).toBe(5);
});

test('a refusal, and what is no failure of the API server, is final', async () => {
  const caller = new AbortController();
  await expect(whileAwaited(failing(answered(403)), caller)).rejects.toThrow('HTTP 403');
  await expect(whileAwaited(failing(new Error('broken')), caller)).rejects.toThrow('broken');
});

test('there is one try where nobody tells how long it is waited for, and no other one when nobody waits any more', async () => {
  await expect(whileAwaited(failing(unanswered), undefined)).rejects.toThrow('no answer');
  const late = new AbortController();
  const trying = whileAwaited(failing(unanswered), late);
  late.abort();
  await expect(trying).rejects.toThrow('no answer');
  const silent = new AbortController();
  let tries = 0;
  const waiting = whileAwaited(async () => {
    tries += 1;
    if (tries === 1) throw unanswered;
    silent.abort();
    return new Promise(() => {});
  }, silent);
  await expect(waiting).rejects.toThrow('no answer');
  expect(tries).toBe(2);
});
