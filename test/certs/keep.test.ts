import { X509Certificate } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { issueAuthority } from '../../certs/issue.ts';
import { isTrusted } from '../../certs/trust.ts';
import { isTrustedBy, type SimulatedReplica, Simulation } from './simulation.ts';

const seconds = 1_000;
const minutes = 60_000;
const days = 86_400_000;
let simulation: Simulation;

afterEach(() => simulation.stop());

/** Starts replicas and lets them settle. */
async function start(count: number, skewMs = 0): Promise<void> {
  simulation = new Simulation();
  for (let index = 0; index < count; index += 1) simulation.start(index * skewMs);
  await simulation.advance(seconds);
}

const authority = () => simulation.stored?.pair.certificate ?? '';

describe('an installation', () => {
  test('makes one authority, however many replicas start at once, and is no repair', async () => {
    await start(3);
    simulation.expectSettled();
    expect(simulation.changes('authority-issued')).toHaveLength(1);
    expect(simulation.changes('bundle-repaired')).toEqual([]);
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
    simulation.expectSettled();
    expect(simulation.changes('bundle-repaired')).toEqual([]);
  });

  test('works with clocks that differ by ten minutes', async () => {
    await start(3, 10 * minutes);
    simulation.expectSettled();
    expect(simulation.changes('authority-issued')).toHaveLength(1);
    await simulation.advance(10 * minutes);
    simulation.expectSettled();
    // API servers with the slowest of the clocks, and slower.
    for (const replica of simulation.replicas) {
      const { validFromDate } = new X509Certificate(replica.certificate ?? '');
      expect(validFromDate.getTime()).toBeLessThan(simulation.time - 20 * minutes);
    }
    expect(simulation.changes('authority-issued')).toHaveLength(1);
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
    simulation.expectSettled();
    expect(simulation.changes('bundle-repaired')).toHaveLength(indexes.length);
    expect(simulation.changes('bundle-repaired')[0]?.message).toMatch(
      /^Restored the caBundle of .*podrate \(2 of 2 webhooks\)/,
    );
    expect(simulation.changes('authority-issued')).toHaveLength(1);
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
    simulation.expectSettled();
    expect(simulation.changes('bundle-repaired')).toHaveLength(2);
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
      simulation.expectSettled();
      await simulation.advance(2 * minutes);
      simulation.expectSettled();
      for (const replica of simulation.replicas) expect(isTrustedBy([authority()], replica)).toBe(true);
      simulation.time += 0.9 * days;
      await simulation.advance(seconds);
      expect(simulation.bundles.every((bundle) => isTrusted(bundle, former))).toBe(true);
      simulation.time += 0.1 * days;
      await simulation.advance(20 * seconds);
      expect(simulation.bundles.every((bundle) => bundle === authority())).toBe(true);
      expect(simulation.changes('bundle-repaired')).toEqual([]);
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
    expect(simulation.changes('authority-issued')).toHaveLength(2);
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
