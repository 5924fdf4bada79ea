import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newLedger } from '../../../webhook/quota/ledger.ts';
import { readLedger, writeLedger } from '../../../webhook/quota/ledger-store.ts';

const metadata = { uid: 'u', resourceVersion: '1' };

const whole = fc.nat(2 ** 40);
const amounts = fc.record({ egress: whole, ingress: whole });
const version = fc.bigInt({ min: 0n, max: 2n ** 63n });
const ledger = fc.record({
  ...{ settled: version, serial: whole, used: amounts },
  hard: fc.record({ egress: whole, ingress: whole }, { requiredKeys: [], noNullPrototype: true }),
  grants: fc.array(
    fc.record({
      name: fc.string(),
      uid: fc.uuid(),
      egress: whole,
      ingress: whole,
      serial: whole,
      from: fc.option(version, { nil: undefined }),
    }),
  ),
});

test('what is written is read back as it was, through JSON', () => {
  fc.assert(
    fc.property(ledger, (each) => {
      const object = JSON.parse(JSON.stringify({ ...writeLedger(each), metadata }));
      expect(readLedger(object)).toEqual({ ledger: each, uid: 'u', resourceVersion: '1' });
    }),
  );
});

test('used and hard are shown as people write rates, also where they are no rate of a pod', () => {
  const shown = (used: number, hard?: number) =>
    writeLedger({
      ...newLedger(1n),
      used: { egress: used, ingress: 0 },
      hard: hard === undefined ? {} : { egress: hard },
    });
  expect(shown(3_000_000, 20_000_000)).toMatchObject({ status: { shown: { egress: '3M/20M', ingress: '0/none' } } });
  expect(shown(125e12, 250e12)).toMatchObject({ status: { shown: { egress: '125000G/250000G' } } });
});
