import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { issueAuthority } from '../../certs/issue.ts';
import { isTrusted, readBundle } from '../../certs/trust.ts';
import { type SimulatedReplica, Simulation } from './simulation.ts';

const seconds = 1_000;
const minutes = 60_000;
const days = 86_400_000;
let simulation: Simulation;

afterEach(() => simulation.stop());

/** Starts replicas and lets them settle. */
async function start(count: number, skewMs = 0, pick?: (count: number) => number): Promise<Simulation> {
  simulation = new Simulation(pick);
  for (let index = 0; index < count; index += 1) simulation.start(index * skewMs);
  await simulation.advance(seconds);
  return simulation;
}

const isTrustedBy = (bundles: readonly string[], { certificate = '' }: SimulatedReplica) =>
  bundles.every((bundle) =>
    readBundle(bundle).some((authority) => new X509Certificate(certificate).verify(authority.publicKey)),
  );
const changes = (kind: string) =>
  simulation.replicas.flatMap((replica) => replica.changes.filter((change) => change.kind === kind));
const authority = () => simulation.stored?.pair.certificate ?? '';

/** Expects one authority that all webhooks trust and that signed what each replica serves. */
function expectAllTrusted(): void {
  expect(new Set(simulation.bundles)).toEqual(new Set([simulation.stored?.trust.bundle]));
  for (const replica of simulation.replicas) {
    expect(replica.distrust).toBeUndefined();
    expect(isTrustedBy(simulation.bundles, replica)).toBe(true);
    expect(replica.failures).toEqual([]);
  }
}

describe('an installation', () => {
  test('makes one authority, however many replicas start at once, and is no repair', async () => {
    await start(3);
    expectAllTrusted();
    expect(changes('authority-issued')).toHaveLength(1);
    expect(changes('bundle-repaired')).toEqual([]);
    expect(new Set(simulation.replicas.map(({ certificate }) => certificate)).size).toBe(3);
  });

  test('changes nothing more as long as nothing is wrong', async () => {
    await start(2);
    const before = simulation.replicas.flatMap((replica) => replica.changes).length;
    await simulation.advance(2 * minutes);
    expect(simulation.replicas.flatMap((replica) => replica.changes)).toHaveLength(before);
  });

  test('waits for configurations that are applied later', async () => {
    simulation = new Simulation();
    const webhooks = simulation.webhooks;
    simulation.webhooks = [undefined, undefined];
    const replica = simulation.start();
    await simulation.advance(30 * seconds);
    expect(replica.distrust).toBe('mutatingwebhookconfigurations/podrate does not exist: apply the manifests');
    simulation.webhooks = webhooks;
    await simulation.advance(10 * seconds);
    expectAllTrusted();
    expect(changes('bundle-repaired')).toEqual([]);
  });

  test('works with clocks that differ by ten minutes', async () => {
    await start(3, 10 * minutes);
    expectAllTrusted();
    expect(changes('authority-issued')).toHaveLength(1);
    await simulation.advance(10 * minutes);
    expectAllTrusted();
    // API servers with the slowest of the clocks, and slower.
    for (const replica of simulation.replicas) {
      const { validFromDate } = new X509Certificate(replica.certificate ?? '');
      expect(validFromDate.getTime()).toBeLessThan(simulation.time - 20 * minutes);
    }
    expect(changes('authority-issued')).toHaveLength(1);
  });
});

describe('a caBundle that another writer changed', () => {
  test.each<[string, () => Promise<string>, number[]]>([
    ['a foreign one in both configurations', foreign, [0, 1]],
    ['a foreign one in the validating configuration', foreign, [1]],
    ['an empty one', async () => '', [0, 1]],
    ['a damaged one', async () => 'damaged', [0]],
  ])('is restored within the interval and reported: %s', async (_, bundle, indexes) => {
    await start(2);
    simulation.overwrite(await bundle(), ...indexes);
    await simulation.advance(11 * seconds);
    expectAllTrusted();
    expect(changes('bundle-repaired')).toHaveLength(indexes.length);
    expect(changes('bundle-repaired')[0]?.message).toMatch(/^Restored the caBundle of .*podrate \(2 of 2 webhooks\)/);
    expect(changes('authority-issued')).toHaveLength(1);
  });

  test('is restored after a restart too', async () => {
    await start(1);
    await simulation.stop();
    const { stored } = simulation;
    simulation = new Simulation();
    simulation.stored = stored;
    simulation.overwrite(await foreign(), 0, 1);
    simulation.start();
    await simulation.advance(seconds);
    expectAllTrusted();
    expect(changes('bundle-repaired')).toHaveLength(2);
  });

  async function foreign(): Promise<string> {
    const date = new Date('2026-03-01T12:00:00Z');
    return (await issueAuthority({ commonName: 'foreign', now: date, days: 365 })).certificate;
  }
});

describe('the Secret', () => {
  test.each<[string, () => void]>([
    [
      'is deleted',
      () => {
        simulation.stored = undefined;
      },
    ],
    [
      'is emptied',
      () => {
        simulation.stored = { pair: { certificate: '', key: '' }, trust: { bundle: '', formerUntil: undefined } };
      },
    ],
    [
      'loses its key',
      () => {
        if (simulation.stored)
          simulation.stored = { ...simulation.stored, pair: { certificate: authority(), key: '' } };
      },
    ],
  ])(
    'is made anew when it %s, and the former authority stays trusted for a day',
    async (_, damage) => {
      await start(2);
      const former = authority();
      damage();
      await simulation.advance(11 * seconds);
      expect(authority()).not.toBe(former);
      expectAllTrusted();
      await simulation.advance(2 * minutes);
      expectAllTrusted();
      for (const replica of simulation.replicas) expect(isTrustedBy([authority()], replica)).toBe(true);
      simulation.time += 0.9 * days;
      await simulation.advance(seconds);
      expect(simulation.bundles.every((bundle) => isTrusted(bundle, former))).toBe(true);
      simulation.time += 0.1 * days;
      await simulation.advance(20 * seconds);
      expect(simulation.bundles.every((bundle) => bundle === authority())).toBe(true);
      expect(changes('bundle-repaired')).toEqual([]);
    },
    60_000,
  );
});

describe('calls that fail', () => {
  test('keep the certificate and the readiness, and are tried again', async () => {
    await start(2);
    const [replica] = simulation.replicas as [SimulatedReplica];
    const { certificate } = replica;
    simulation.fault = () => new Error('unavailable');
    await simulation.advance(minutes);
    expect(replica).toMatchObject({ certificate, distrust: undefined });
    expect(replica.failures.length).toBeGreaterThan(5);
    simulation.fault = () => undefined;
    simulation.stored = undefined;
    await simulation.advance(20 * seconds);
    expect(changes('authority-issued')).toHaveLength(2);
  });

  test('of all writes leave a new replica with what is stored, and a distrusted one unready', async () => {
    await start(1);
    simulation.fault = (call) => (call.startsWith('read') ? undefined : new Error('read-only'));
    const late = simulation.start();
    await simulation.advance(seconds);
    expect(late).toMatchObject({ distrust: undefined, failures: [] });
    simulation.overwrite('', 0);
    await simulation.advance(30 * seconds);
    expect(late.distrust).toBe('the caBundle of mutatingwebhookconfigurations/podrate does not trust the certificate');
    expect(late.failures[0]).toMatchObject({ message: 'read-only' });
    simulation.fault = () => undefined;
    await simulation.advance(20 * seconds);
    expect(late.distrust).toBeUndefined();
  });
});

test('over two years all replicas stay trusted, with each certificate renewed in time', async () => {
  await start(2);
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
  expectAllTrusted();
  expect(changes('authority-issued').length).toBeGreaterThanOrEqual(3);
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
  /** All machines are suspended; at most four times, which is less than the day for which a former authority is trusted. */
  sleep: () => {
    simulation.time += 5 * 3600 * seconds;
  },
  join: () => {
    if (simulation.replicas.length < 4) simulation.start();
  },
};

test('no replica serves what API servers do not trust, whatever happens to the Secret and in whatever order', async () => {
  const lagMs = 25 * seconds;
  const names = fc.constantFrom(...(Object.keys(events) as (keyof typeof events)[]));
  await fc.assert(
    fc.asyncProperty(fc.array(names, { maxLength: 5 }), fc.infiniteStream(fc.nat()), async (list, numbers) => {
      await start(2, 0, (count) => (count === 0 ? 0 : (numbers.next().value ?? 0) % count));
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
      expectAllTrusted();
      await simulation.stop();
    }),
    { numRuns: 8 },
  );
}, 240_000);
