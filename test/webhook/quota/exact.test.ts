import fc from 'fast-check';
import { expect, test } from 'vitest';
import { directions } from '../../../rate/limit.ts';
import { type Amounts, nothing } from '../../../webhook/quota/amounts.ts';
import { limits, type Replica, type SimulatedCluster, simulateCluster } from './simulated-cluster.ts';

const hard: Amounts = { egress: 10, ingress: 12 };

const amount = fc.integer({ min: 1, max: 6 });
const amounts = fc.record({ egress: amount, ingress: amount });
const name = fc.constantFrom('a', 'b', 'c', 'd');
const replica = fc.nat({ max: 1 });
const kind = <K extends string>(name: K) => fc.constant(name);
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: kind('create'), replica, name, amounts, isLost: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ kind: kind('update'), replica, name, amounts }) },
  // What has no limit is not counted, and is there all the same.
  { weight: 2, arbitrary: fc.record({ kind: kind('update'), replica, name, amounts: fc.constant(nothing) }) },
  { weight: 4, arbitrary: fc.record({ kind: kind('end'), name }) },
  { weight: 4, arbitrary: fc.record({ kind: kind('watch'), replica, events: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('relist'), replica }) },
  { weight: 4, arbitrary: fc.record({ kind: kind('tend'), replica }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('kill'), replica, isWatching: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('lose') }) },
  { weight: 3, arbitrary: fc.record({ kind: kind('wait'), ms: fc.constantFrom(1_000, 29_000, 59_000) }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function isWithin(cluster: SimulatedCluster): boolean {
  const sum = cluster.sum();
  return directions.every((direction) => sum[direction] <= hard[direction]);
}

interface Play {
  readonly scheduler: fc.Scheduler;
  /** What each client does, one thing after the other. */
  readonly clients: readonly (readonly Operation[])[];
  readonly recountPods: number;
}

const plays: fc.Arbitrary<Play> = fc.record({
  scheduler: fc.scheduler(),
  clients: fc.array(fc.array(operation, { minLength: 1, maxLength: 8 }), { minLength: 2, maxLength: 5 }),
  recountPods: fc.constantFrom(0, 500),
});

/** Lets the clients do what they do, each step of each at a time that the scheduler chooses. */
async function play({ scheduler, clients, recountPods }: Play) {
  const pause = () => scheduler.schedule(Promise.resolve());
  const two = { egress: 2, ingress: 2 };
  const cluster = simulateCluster(pause, { a: two, b: two, c: two }, { recountPods });
  const replicas = [cluster.start(), cluster.start()];
  const at = (index: number) => replicas[index] as Replica;
  const perform = async (each: Operation): Promise<void> => {
    if (each.kind === 'create') await cluster.create(at(each.replica), each.name, each.amounts, hard, each.isLost);
    else if (each.kind === 'update') await cluster.update(at(each.replica), each.name, each.amounts, hard);
    else if (each.kind === 'end') cluster.end(each.name);
    else if (each.kind === 'watch') at(each.replica).watch(each.events);
    else if (each.kind === 'relist') at(each.replica).relist();
    else if (each.kind === 'tend') await at(each.replica).keeper.tend();
    else if (each.kind === 'lose') cluster.loseAnswer();
    else if (each.kind === 'wait') cluster.clock.advance(each.ms);
    else {
      at(each.replica).isAlive = false;
      replicas[each.replica] = cluster.start(each.isWatching);
    }
    expect(isWithin(cluster), JSON.stringify(cluster.sum())).toBe(true);
  };
  const work = clients.map(async (operations) => {
    for (const each of operations) {
      await pause();
      await perform(each);
    }
  });
  await scheduler.waitFor(Promise.all(work));
  return { cluster, replicas };
}

test('whatever two replicas do at once, lag, die or lose, the pods never have more than the quota', async () => {
  await fc.assert(
    fc.asyncProperty(plays, async (clients) => {
      await play(clients);
    }),
    { numRuns: 3_000 },
  );
});

test('once all is quiet, each replica counts exactly the pods that are there, and gives out the rest to the last byte', async () => {
  await fc.assert(
    fc.asyncProperty(plays, replica, async (clients, last) => {
      const { scheduler } = clients;
      const { cluster, replicas } = await play(clients);
      const settled = async () => {
        for (const { keeper, relist } of replicas) {
          relist();
          await keeper.tend();
        }
      };
      await scheduler.waitFor(settled());
      cluster.clock.advance(limits.lifeMs);
      await scheduler.waitFor(settled());
      const { ledger } = cluster.ledger() ?? {};
      if (ledger === undefined) return;
      expect(ledger.grants).toEqual([]);
      expect(ledger.used).toEqual(cluster.sum());
      const free = { egress: hard.egress - cluster.sum().egress, ingress: hard.ingress - cluster.sum().ingress };
      const more = { ...free, egress: free.egress + 1 };
      const on = replicas[last] as Replica;
      expect(await scheduler.waitFor(cluster.create(on, 'more', more, hard, false))).toBe('refused');
      const rest = scheduler.waitFor(cluster.create(on, 'rest', free, hard, false));
      expect(await rest).toBe('stored');
    }),
    { numRuns: 500 },
  );
});
