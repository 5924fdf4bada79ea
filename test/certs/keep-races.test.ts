import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { isTrustedBy, Simulation } from './simulation.ts';

const seconds = 1_000;
const minutes = 60_000;
const days = 86_400_000;
let simulation: Simulation;

afterEach(() => simulation.stop());

/** Starts two replicas and lets them settle. */
async function start(pick?: (count: number) => number): Promise<void> {
  simulation = new Simulation(pick);
  simulation.start();
  simulation.start();
  await simulation.advance(seconds);
}

test('over two years all replicas stay trusted, with each certificate renewed in time', async () => {
  await start();
  simulation.check = () => {
    for (const replica of simulation.replicas) {
      if (!isTrustedBy(simulation.bundles, replica))
        throw new Error('a replica serves a certificate that is not trusted');
      const { validToDate } = new X509Certificate(replica.certificate ?? '');
      if (validToDate.getTime() - simulation.time < 15 * days) throw new Error('a certificate was not renewed');
    }
  };
  for (let fortnight = 0; fortnight < 52; fortnight += 1) {
    // Of each fortnight, only the first minute is simulated.
    await simulation.advance(minutes);
    simulation.time += 14 * days;
  }
  simulation.expectSettled();
  expect(simulation.changes('authority-issued').length).toBeGreaterThanOrEqual(3);
}, 120_000);

/** What may happen to the Secret while replicas run. */
const events = {
  delete: () => {
    simulation.stored = undefined;
  },
  damage: () => {
    simulation.stored = simulation.stored && { ...simulation.stored, pair: { certificate: 'damaged', key: '' } };
  },
  wait: () => simulation.advance(2 * minutes),
  /**
   * All machines are suspended; at most four times, which is less than the day for which a former authority is trusted.
   */
  sleep: () => {
    simulation.time += 5 * 3600 * seconds;
  },
  join: () => {
    if (simulation.replicas.length < 4) simulation.start();
  },
};

test('no replica serves what API servers do not trust, whatever happens to the Secret in any order', async () => {
  const lagMs = 25 * seconds;
  const names = fc.constantFrom(...(Object.keys(events) as (keyof typeof events)[]));
  await fc.assert(
    fc.asyncProperty(fc.array(names, { maxLength: 5 }), fc.infiniteStream(fc.nat()), async (list, numbers) => {
      await start((count) => (count === 0 ? 0 : (numbers.next().value ?? 0) % count));
      const history: { time: number; bundles: string[] }[] = [];
      const served = new Map(simulation.replicas.map((replica) => [replica, replica.certificate]));
      simulation.check = () => {
        const { time, bundles } = simulation;
        history.push({ time, bundles });
        const seen = history.findLast((entry) => entry.time <= time - lagMs)?.bundles ?? bundles;
        for (const replica of simulation.replicas) {
          if (replica.certificate === undefined || replica.distrust !== undefined) continue;
          expect(isTrustedBy(bundles, replica)).toBe(true);
          // A certificate that replaces another one is trusted by an API server that notices late, too.
          const before = served.get(replica);
          if (before !== undefined && before !== replica.certificate) expect(isTrustedBy(seen, replica)).toBe(true);
          served.set(replica, replica.certificate);
        }
      };
      for (const name of list) {
        await events[name]();
        await simulation.advance(5 * seconds);
      }
      await simulation.advance(3 * minutes);
      simulation.expectSettled();
      await simulation.stop();
    }),
    { numRuns: 8 },
  );
}, 240_000);
