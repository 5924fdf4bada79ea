import { expect, vi } from 'vitest';
import type { FakeApiServer } from './fake-api-server.ts';

/** Expects who has just begun to watch a fresh server to go on from the last bookmark when the watch ends, without another list. */
export async function expectToGoOnFromBookmark(server: FakeApiServer): Promise<void> {
  const eventually = (check: () => void) => vi.waitFor(check, { timeout: 5_000, interval: 10 });
  await eventually(() => expect(server.watchers()).toBe(1));
  for (let others = 0; others < 5; others += 1) server.delete('of others', false);
  server.bookmark();
  server.end();
  await eventually(() => expect(server.watches).toHaveLength(2));
  const asked = server.watches.map((query) => query.get('resourceVersion'));
  expect(asked).toEqual(['1', '6']);
  expect(server.watches.every((query) => query.get('allowWatchBookmarks') === 'true')).toBe(true);
  expect(server.lists).toHaveLength(1);
}
