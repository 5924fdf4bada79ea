import { beforeEach, describe, expect, test } from 'vitest';
import type { ChangeStore, StoredChanges } from '../../../webhook/policy-memory/change-store.ts';
import { addChanges, noChanges } from '../../../webhook/policy-memory/changes.ts';
import { createPolicyMemory, type PolicyMemory } from '../../../webhook/policy-memory/memory.ts';

const limits = { leaseMs: 500, effectMs: 90_000, keepMs: 10_000, most: 3, patienceMs: 2_000 };

let nowMs: number;
/** What the API server has. */
let policies: Map<string, { version: number; isEnding: boolean }>;
let stored: StoredChanges | undefined;
let isAway: boolean;
let looks: number;
let reads: number;
/** What reads of a namespace wait for. */
let answer: Promise<void>;
let errors: number;
let froms: string[];

beforeEach(() => {
  [nowMs, stored, isAway, looks, reads, errors, froms] = [0, undefined, false, 0, 0, 0, []];
  answer = Promise.resolve();
  policies = new Map([['shop', { version: 1, isEnding: false }]]);
});

const clock = {
  nowMs: () => nowMs,
  async sleep(ms: number) {
    nowMs += ms;
  },
};
const reach = () => {
  if (isAway) throw new Error('away');
};
const store: ChangeStore = {
  async read() {
    looks += 1;
    reach();
    return stored;
  },
  async write(changes, before) {
    reach();
    if (before?.resourceVersion !== stored?.resourceVersion) return false;
    stored = { changes, uid: stored?.uid ?? 'u-1', resourceVersion: String(Number(stored?.resourceVersion ?? 0) + 1) };
    return true;
  },
};
const start = (): PolicyMemory =>
  createPolicyMemory({
    ...{ store, clock, limits, onRead: (from) => froms.push(from) },
    async read(name) {
      reads += 1;
      reach();
      const found = policies.get(name);
      await answer;
      return found && { labels: { version: String(found.version) }, isEnding: found.isEnding };
    },
    onError: () => {
      errors += 1;
    },
  });

const settled = () => new Promise((resolve) => setImmediate(resolve));
/** Asks, and lets the look that this begins end. */
async function ask(memory: PolicyMemory, name = 'shop'): Promise<string | undefined> {
  const labels = await memory.read(name);
  await settled();
  return labels?.version;
}
/** A memory that has started long enough ago, and has looked just now. */
async function startCalm(): Promise<PolicyMemory> {
  const memory = start();
  await ask(memory);
  nowMs += limits.effectMs;
  await ask(memory);
  await ask(memory);
  froms = [];
  return memory;
}
const set = (version: number, name = 'shop') => policies.set(name, { version, isEnding: false });

describe('a namespace', () => {
  test('that was read is remembered, for some seconds and while looks show no change', async () => {
    const memory = await startCalm();
    for (let index = 0; index < 20; index += 1) {
      nowMs += 100;
      expect(await ask(memory)).toBe('1');
    }
    expect(froms).toEqual(Array.from({ length: 20 }, () => 'memory'));
    nowMs += limits.keepMs - 2_500;
    await ask(memory);
    set(2);
    froms = [];
    while (froms.at(-1) !== 'api') {
      nowMs += 100;
      await ask(memory);
    }
    expect(nowMs).toBeLessThan(2 * limits.effectMs);
    expect(await ask(memory)).toBe('2');
  });

  test('is read anew by whoever has not looked for changes lately', async () => {
    const memory = await startCalm();
    nowMs += 450;
    await Promise.all([memory.read('shop'), memory.read('shop')]);
    expect(froms).toEqual(['api', 'api']);
    await settled();
    await ask(memory);
    expect(froms.at(-1)).toBe('memory');
  });

  test('is known as soon as the look shows no change, though a read takes longer', async () => {
    const memory = await startCalm();
    nowMs += 450;
    answer = new Promise(() => undefined);
    const asked = await Promise.all(Array.from({ length: 20 }, () => memory.read('shop')));
    expect(asked.map((labels) => labels?.version)).toEqual(Array.from({ length: 20 }, () => '1'));
  });

  test('is waited for by all who ask where the look shows a change', async () => {
    const memory = await startCalm();
    await start().announce('shop');
    const { promise, resolve } = Promise.withResolvers<void>();
    [answer, reads, nowMs] = [promise, 0, nowMs + 450];
    let known = 0;
    const asked = Array.from({ length: 20 }, async () => {
      const labels = await memory.read('shop');
      known += 1;
      return labels?.version;
    });
    await settled();
    expect([known, reads]).toEqual([0, 1]);
    set(2);
    resolve();
    // The first read began before the change, which only its own asker may not see.
    expect(await Promise.all(asked)).toEqual(['1', ...Array.from({ length: 19 }, () => '2')]);
    expect(reads).toBe(2);
  });

  test('that many ask for at once is read once, where nothing changes', async () => {
    const memory = await startCalm();
    set(1, 'new');
    const { promise, resolve } = Promise.withResolvers<void>();
    [answer, reads] = [promise, 0];
    const asked = Array.from({ length: 20 }, () => memory.read('new'));
    await settled();
    resolve();
    expect((await Promise.all(asked)).every((labels) => labels?.version === '1')).toBe(true);
    expect(reads).toBe(1);
  });

  test('is read anew for as long after a start as changes may still take effect that were announced before', async () => {
    const memory = start();
    for (nowMs = 0; nowMs < limits.effectMs; nowMs += 10_000) await ask(memory);
    expect(new Set(froms)).toEqual(new Set(['api']));
    nowMs += 100;
    await ask(memory);
    await ask(memory);
    expect(froms.at(-1)).toBe('memory');
  });

  test('that does not exist or is being deleted is not remembered', async () => {
    const memory = await startCalm();
    policies.set('ending', { version: 1, isEnding: true });
    for (const name of ['ending', 'none', 'ending', 'none']) await ask(memory, name);
    expect(froms).toEqual(['api', 'api', 'api', 'api']);
    set(1, 'none');
    expect(await ask(memory, 'none')).toBe('1');
  });

  test('is forgotten where too many are remembered, the one that was read first', async () => {
    const memory = await startCalm();
    for (const name of ['a', 'b', 'c']) {
      set(1, name);
      await ask(memory, name);
    }
    froms = [];
    await ask(memory, 'c');
    await ask(memory, 'shop');
    expect(froms).toEqual(['memory', 'api']);
  });
});

describe('a change that is announced', () => {
  test('is seen by every replica from the moment it is stored, though they remember what was before', async () => {
    const [one, other] = [await startCalm(), await startCalm()];
    for (const memory of [one, other]) await ask(memory);
    const announced = one.announce('shop');
    await ask(other);
    await announced;
    set(2);
    froms = [];
    expect(await ask(other)).toBe('2');
    expect(await ask(one)).toBe('2');
    // Nobody knows when exactly it is stored.
    await other.announce('shop');
    expect(await ask(one)).toBe('2');
    nowMs += 60_000;
    set(3);
    for (const memory of [one, other, one, other]) expect(await ask(memory)).toBe('3');
    expect(froms.filter((from) => from === 'memory')).toEqual([]);
  });

  test('lets what is read meanwhile not be remembered, nor other namespaces be forgotten', async () => {
    const memory = await startCalm();
    set(1, 'other');
    await ask(memory, 'other');
    await memory.announce('shop');
    await ask(memory);
    await ask(memory);
    froms = [];
    await ask(memory, 'other');
    await ask(memory);
    expect(froms).toEqual(['memory', 'api']);
    nowMs += limits.effectMs;
    await ask(memory);
    await ask(memory);
    await ask(memory);
    expect(froms.at(-1)).toBe('memory');
  });

  test.each([
    ['was made anew', () => ({ ...(stored as StoredChanges), uid: 'u-2' })],
    ['is gone', () => undefined],
    [
      'has lost some',
      () => ({
        ...(stored as StoredChanges),
        changes: addChanges(
          noChanges,
          Array.from({ length: 700 }, () => 'x'),
        ),
      }),
    ],
    ['was set back', () => ({ ...(stored as StoredChanges), changes: noChanges })],
  ])('is not missed where the record of changes %s: everything is read anew', async (_, become) => {
    const memory = await startCalm();
    await memory.announce('x');
    await memory.announce('x');
    await ask(memory);
    stored = become();
    nowMs += 200;
    await ask(memory);
    froms = [];
    set(2);
    expect(await ask(memory)).toBe('2');
    nowMs += 60_000;
    await ask(memory);
    expect(await ask(memory)).toBe('2');
    expect(froms).not.toContain('memory');
  });

  test('is not admitted where it cannot be announced', async () => {
    const memory = await startCalm();
    isAway = true;
    await expect(memory.announce('shop')).rejects.toThrow('away');
    isAway = false;
    const { write } = store;
    store.write = async () => {
      nowMs += 300;
      return false;
    };
    await expect(memory.announce('shop')).rejects.toThrow('others did so at each try');
    const late = new AbortController();
    const before = nowMs;
    store.write = async () => {
      nowMs += 3_000;
      if (nowMs - before > 8_000) late.abort();
      return false;
    };
    await expect(memory.announce('shop', late.signal)).rejects.toThrow('others did so at each try');
    expect(nowMs - before).toBe(9_000);
    store.write = write;
  });

  test('waits, and many at once are one write', async () => {
    const memory = await startCalm();
    const before = nowMs;
    const versionBefore = Number(stored?.resourceVersion);
    await Promise.all(Array.from({ length: 50 }, (_, index) => memory.announce(`n-${index}`)));
    expect(stored?.changes.serial).toBe(50);
    expect(Number(stored?.resourceVersion) - versionBefore).toBeLessThanOrEqual(2);
    expect(nowMs - before).toBeGreaterThanOrEqual(limits.leaseMs);
  });
});

test('without the API server what is remembered is soon not used any more, and all goes on when it is back', async () => {
  const memory = await startCalm();
  isAway = true;
  nowMs += 200;
  expect(await ask(memory)).toBe('1');
  nowMs += 300;
  await expect(memory.read('shop')).rejects.toThrow('away');
  await settled();
  expect(errors).toBeGreaterThan(0);
  isAway = false;
  await ask(memory);
  await ask(memory);
  expect(froms.at(-1)).toBe('memory');
});

test('nobody looks for changes while nobody asks', async () => {
  await startCalm();
  looks = 0;
  nowMs += 100_000;
  await settled();
  expect(looks).toBe(0);
});
