import { describe, expect, test, vi } from 'vitest';
import { ApiFailure } from '../../../kube/api-failure.ts';
import type { Amounts } from '../../../webhook/quota/amounts.ts';
import type { QuotaKeeper } from '../../../webhook/quota/keeper.ts';
import { QuotaError } from '../../../webhook/quota/ledger.ts';
import type { Claim } from '../../../webhook/quota/reserve.ts';
import { limits, namespace, simulateCluster } from './simulated-cluster.ts';

const both = (bytes: number): Amounts => ({ egress: bytes, ingress: bytes });
const hard = both(10);
const immediately = () => Promise.resolve();
const seeAll = Number.POSITIVE_INFINITY;

const request = (name: string, wanted: number, more: Partial<Claim> = {}): Claim => ({
  hard,
  uid: `${name}-uid`,
  name,
  wanted: both(wanted),
  dryRun: false,
  before: undefined,
  ...more,
});
const check = (keeper: QuotaKeeper, ...args: [claim: Claim, signal?: AbortSignal]) => keeper.check(namespace, ...args);
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => (error instanceof QuotaError || error instanceof ApiFailure ? error.code : error),
  );

describe('an admission', () => {
  test('that raises nothing under a quota is allowed without a look at the ledger', async () => {
    const cluster = simulateCluster(immediately);
    const { keeper } = cluster.start();
    cluster.fail(true);
    const before = { ...both(50), version: 1n };
    const free = [
      request('a', 50, { before }),
      request('a', 0),
      request('a', 99, { hard: {} }),
      request('a', 0, { hard: { egress: 10 }, wanted: { egress: 0, ingress: 99 } }),
    ];
    for (const each of free) expect(await check(keeper, each)).toEqual({ allowed: true });
    expect(await code(check(keeper, request('a', 1)))).toBe('kube/api');
  });

  test('that is refused says what is used, requested and hard', async () => {
    const cluster = simulateCluster(immediately, { a: both(8) });
    const { keeper } = cluster.start();
    expect(await check(keeper, request('b', 3))).toEqual({
      allowed: false,
      direction: 'egress',
      requested: 3,
      used: 8,
      hard: 10,
    });
  });

  test('without a watch is decided by a list, until there is one', async () => {
    const cluster = simulateCluster(immediately, { a: both(8) });
    const replica = cluster.start(false);
    expect(await check(replica.keeper, request('b', 3))).toMatchObject({ allowed: false, used: 8 });
    expect(cluster.lists()).toBe(1);
    replica.relist();
    expect(await check(replica.keeper, request('b', 2))).toEqual({ allowed: true });
    expect(cluster.lists()).toBe(1);
  });

  test('as a dry run gets the same answer and leaves no ledger where there was none', async () => {
    const cluster = simulateCluster(immediately, { a: both(8) });
    const { keeper } = cluster.start();
    expect(await check(keeper, request('b', 3, { dryRun: true }))).toMatchObject({ allowed: false, used: 8 });
    expect(await check(keeper, request('b', 2, { dryRun: true }))).toEqual({ allowed: true });
    expect(cluster.ledger()).toBeUndefined();
    expect(await check(keeper, request('c', 2))).toEqual({ allowed: true });
  });

  test('as a dry run knows what another replica granted a moment ago', async () => {
    const cluster = simulateCluster(immediately);
    const [one, other] = [cluster.start(), cluster.start()];
    await check(one.keeper, request('a', 1));
    await check(other.keeper, request('b', 8));
    expect(await check(one.keeper, request('c', 2, { dryRun: true }))).toMatchObject({ allowed: false, used: 9 });
  });

  test('whose write was done and its answer lost is granted, and charged once', async () => {
    const cluster = simulateCluster(immediately);
    const { keeper } = cluster.start();
    for (const name of ['a', 'b']) {
      cluster.loseAnswer();
      expect(await check(keeper, request(name, 5))).toEqual({ allowed: true });
    }
    expect(cluster.ledger()?.ledger).toMatchObject({ used: both(10), grants: [{ name: 'a' }, { name: 'b' }] });
  });

  test('that nobody waits for any more is not granted, so that it keeps nobody out', async () => {
    const cluster = simulateCluster(immediately);
    const { keeper } = cluster.start();
    const first = check(keeper, request('a', 1));
    const gone = check(keeper, request('b', 9), AbortSignal.abort(new Error('gone')));
    const next = check(keeper, request('c', 9));
    expect(await first).toEqual({ allowed: true });
    await expect(gone).rejects.toThrow('gone');
    expect(await next).toEqual({ allowed: true });
  });

  test('of hundreds at once takes a few swaps', async () => {
    const cluster = simulateCluster(immediately);
    const { keeper } = cluster.start();
    const all = Array.from({ length: 500 }, (_, index) => check(keeper, request(`p${index}`, 1, { hard: both(400) })));
    const answers = await Promise.all(all);
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(400);
    expect(cluster.ledger()?.ledger).toMatchObject({ used: both(400), serial: 400 });
    expect(Number(cluster.ledger()?.resourceVersion)).toBeLessThan(105);
  });
});

describe('a refusal', () => {
  test('is made on pods counted anew: what was deleted a moment ago is free, before any watch tells', async () => {
    const cluster = simulateCluster(immediately, { a: both(8) });
    const replica = cluster.start();
    cluster.end('a');
    expect(await cluster.create(replica, 'b', both(9), hard, false)).toBe('stored');
  });

  test('in a namespace with too many pods for that is made on what the watch told', async () => {
    const cluster = simulateCluster(immediately, { a: both(4), b: both(4) }, { recountPods: 1 });
    const replica = cluster.start();
    cluster.end('a');
    expect(await cluster.create(replica, 'c', both(5), hard, false)).toBe('refused');
    expect(cluster.lists()).toBe(0);
    replica.watch(seeAll);
    expect(await cluster.create(replica, 'c', both(5), hard, false)).toBe('stored');
  });
});

describe('a replica', () => {
  test('whose watch is behind what another one settled waits a moment, and then counts anew', async () => {
    const cluster = simulateCluster(immediately, {}, { recountPods: 0 });
    const [ahead, behind] = [cluster.start(), cluster.start()];
    await cluster.create(ahead, 'a', both(6), hard, false);
    ahead.watch(seeAll);
    await ahead.keeper.tend();
    expect(cluster.ledger()?.ledger.grants).toEqual([]);
    expect(await cluster.create(behind, 'b', both(6), hard, false)).toBe('refused');
    expect(cluster.lists()).toBe(1);
    behind.watch(seeAll);
    expect(await cluster.create(behind, 'b', both(4), hard, false)).toBe('stored');
    expect(cluster.lists()).toBe(1);
  });

  test('takes over what a killed one allowed, until it can have no effect any more', async () => {
    const cluster = simulateCluster(immediately);
    const [killed, other] = [cluster.start(), cluster.start()];
    await check(killed.keeper, request('a', 8));
    await other.keeper.tend();
    expect(await check(other.keeper, request('b', 3))).toMatchObject({ allowed: false, used: 8 });
    cluster.clock.advance(limits.lifeMs - 1_000);
    await other.keeper.tend();
    expect(cluster.ledger()?.ledger.used).toEqual(both(8));
    cluster.clock.advance(1_000);
    await other.keeper.tend();
    expect(cluster.ledger()?.ledger).toMatchObject({ used: both(0), grants: [] });
    expect(await check(other.keeper, request('b', 10))).toEqual({ allowed: true });
  });

  test('whose watch is stuck for longer than the life of a grant counts anew before it gives the grant up', async () => {
    const cluster = simulateCluster(immediately, { a: both(1) }, { recountPods: 0 });
    const replica = cluster.start();
    expect(await cluster.create(replica, 'b', both(8), hard, false)).toBe('stored');
    cluster.clock.advance(limits.lifeMs);
    await replica.keeper.tend();
    expect(cluster.ledger()?.ledger).toMatchObject({ used: both(9), grants: [] });
    expect(await cluster.create(replica, 'c', both(2), hard, false)).toBe('refused');
  });

  test('gives up, and decides nothing, when others change the ledger at each try', async () => {
    const cluster = simulateCluster(immediately);
    const patience = new AbortController();
    const [one, other] = [cluster.start(), cluster.start()];
    await check(one.keeper, request('a', 1));
    const { write } = one.store;
    let tries = 0;
    vi.spyOn(one.store, 'write').mockImplementation(async (...args) => {
      tries += 1;
      if (tries === 4) patience.abort();
      await check(other.keeper, request(`other-${tries}`, 1));
      return write(...args);
    });
    expect(await code(check(one.keeper, request('b', 1), patience.signal))).toBe('quota/contention');
  });

  test('tries as long as somebody waits for an answer, and grants nothing that nobody waits for any more', async () => {
    const cluster = simulateCluster(immediately, {}, {});
    const [one, other] = [cluster.start(), cluster.start()];
    await check(one.keeper, request('a', 1));
    const [gone, late] = [new AbortController(), new AbortController()];
    const { write } = one.store;
    let tries = 0;
    vi.spyOn(one.store, 'write').mockImplementation(async (...args) => {
      tries += 1;
      cluster.clock.advance(1_000);
      if (tries === 1) gone.abort(new Error('gone'));
      if (tries < 4) await check(other.keeper, request(`other-${tries}`, 1));
      return write(...args);
    });
    const first = check(one.keeper, request('a', 1), late.signal);
    const rest = [check(one.keeper, request('b', 1), gone.signal), check(one.keeper, request('c', 1), late.signal)];
    expect(await first).toEqual({ allowed: true });
    await expect(rest[0]).rejects.toThrow('gone');
    expect(await rest[1]).toEqual({ allowed: true });
    const names = cluster.ledger()?.ledger.grants.map(({ name }) => name);
    expect(names).toContain('c');
    expect(names).not.toContain('b');
  });

  test('decides nothing when more has been granted than a ledger can hold', async () => {
    const { keeper } = simulateCluster(immediately, {}, { maxGrants: 2 }).start();
    await check(keeper, request('a', 1));
    await check(keeper, request('b', 1));
    expect(await code(check(keeper, request('c', 1)))).toBe('quota/full');
  });

  test('goes on when the API server does', async () => {
    const cluster = simulateCluster(immediately);
    const { keeper } = cluster.start();
    cluster.fail(true);
    expect(await code(check(keeper, request('a', 6)))).toBe('kube/api');
    cluster.fail(false);
    expect(await check(keeper, request('a', 6))).toEqual({ allowed: true });
    expect(await check(keeper, request('b', 6))).toMatchObject({ allowed: false, used: 6 });
  });
});

describe('a ledger', () => {
  test('that was deleted while nothing is granted is made anew with the next pod, with the pods that are there', async () => {
    const cluster = simulateCluster(immediately);
    const replica = cluster.start();
    await cluster.create(replica, 'a', both(8), hard, false);
    replica.watch(seeAll);
    await replica.keeper.tend();
    cluster.deleteLedger();
    await replica.keeper.tend();
    expect(cluster.ledger()).toBeUndefined();
    expect(replica.keeper.ledgers()).toEqual(new Map());
    expect(await cluster.create(replica, 'b', both(3), hard, false)).toBe('refused');
    expect(await cluster.create(replica, 'b', both(2), hard, false)).toBe('stored');
  });

  test('is tended while it holds grants, or shows another sum than the pods have, and is left alone otherwise', async () => {
    const cluster = simulateCluster(immediately);
    const replica = cluster.start();
    const read = vi.spyOn(replica.store, 'read');
    await cluster.create(replica, 'a', both(8), hard, false);
    replica.watch(seeAll);
    await replica.keeper.tend();
    expect(cluster.ledger()?.ledger).toMatchObject({ used: both(8), grants: [], hard });
    cluster.end('a');
    replica.watch(seeAll);
    await replica.keeper.tend();
    expect(cluster.ledger()?.ledger).toMatchObject({ used: both(0), grants: [], hard });
    read.mockClear();
    await replica.keeper.tend();
    expect(read).not.toHaveBeenCalled();
  });

  test('has one grant for all creates of a name, which fail while the name is taken', async () => {
    const cluster = simulateCluster(immediately, { a: both(6) }, { maxGrants: 3 });
    const replica = cluster.start();
    for (let times = 0; times < 10; times += 1) {
      expect(await cluster.create(replica, 'a', both(6), hard, false)).toBe('failed');
    }
    expect(cluster.ledger()?.ledger.grants).toHaveLength(1);
    expect(await cluster.create(replica, 'b', both(5), hard, false)).toBe('refused');
    expect(await cluster.create(replica, 'b', both(4), hard, false)).toBe('stored');
  });

  test('is not written again when nothing changed', async () => {
    const cluster = simulateCluster(immediately);
    const { keeper } = cluster.start();
    await check(keeper, request('a', 8));
    const before = cluster.ledger()?.resourceVersion;
    await keeper.tend();
    expect(await check(keeper, request('b', 8))).toMatchObject({ allowed: false });
    expect(cluster.ledger()?.resourceVersion).toBe(before);
  });
});
