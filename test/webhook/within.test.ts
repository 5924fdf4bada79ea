import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { within } from '../../webhook/within.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('what comes in time is given, an error too, and no timer is left', async () => {
  expect(await within(10, Promise.resolve(undefined), 'late')).toBeUndefined();
  await expect(within(10, Promise.reject(new Error('away')), 'late')).rejects.toThrow('away');
  expect(vi.getTimerCount()).toBe(0);
});

test('what takes longer is not waited for, nor minded when it fails later', async () => {
  const slow = Promise.withResolvers<string>();
  const answer = within(10, slow.promise, 'late');
  await vi.advanceTimersByTimeAsync(10);
  expect(await answer).toBe('late');
  slow.reject(new Error('away'));
  await vi.advanceTimersByTimeAsync(10);
  expect(vi.getTimerCount()).toBe(0);
});
