import fc from 'fast-check';
import { expect, test } from 'vitest';
import { directions } from '../../../rate/limit.ts';
import { type Amounts, amountsOf, nothing } from '../../../webhook/quota/amounts.ts';
import { type Grant, type Hard, type Ledger, newLedger } from '../../../webhook/quota/ledger.ts';
import { type Count, createPodTable } from '../../../webhook/quota/pod-table.ts';
import { type Claim, reserve, settle } from '../../../webhook/quota/reserve.ts';

const both = (bytes: number): Amounts => ({ egress: bytes, ingress: bytes });

function countOf(pods: Readonly<Record<string, Amounts>>): Count {
  const table = createPodTable(0, { nowMs: () => 0, dateMs: () => 0 });
  const list = Object.entries(pods).map(([name, amounts]) => ({
    ...{ namespace: 'team', name, uid: name, amounts, version: 1n },
  }));
  table.replace(list, 10n);
  return table.count('team');
}
const ledgerWith = (...grants: Grant[]): Ledger => ({ ...newLedger(10n), grants, serial: grants.length });
const grant = (name: string, amounts: Amounts, serial = 0): Grant => ({
  name,
  uid: `${name}-${serial}`,
  ...amounts,
  serial,
  from: undefined,
});
const claim = (name: string, wanted: Amounts, hard: Hard, more: Partial<Claim> = {}): Claim => ({
  name,
  uid: `${name}-new`,
  wanted,
  hard,
  before: undefined,
  dryRun: false,
  ...more,
});

const amounts = fc.record({ egress: fc.nat(6), ingress: fc.nat(6) });
const name = fc.constantFrom('a', 'b', 'c', 'd');

test('a batch is decided as a naive count of names would, one after the other', () => {
  const inputs = fc.record({
    pods: fc.dictionary(name, amounts),
    granted: fc.array(fc.tuple(name, amounts)),
    claims: fc.array(
      fc.record({ name, wanted: amounts, before: fc.option(amounts, { nil: undefined }), dryRun: fc.boolean() }),
    ),
    hard: fc.record({ egress: fc.nat(15), ingress: fc.nat(15) }, { requiredKeys: [] }),
  });
  fc.assert(
    fc.property(inputs, ({ pods, granted, claims, hard }) => {
      const grants = granted.map(([of, amount], index) => grant(of, amount, index));
      const asked = claims.map(({ before, ...rest }, index) => ({
        ...{ ...rest, hard, uid: `new-${index}` },
        before: before && { ...before, version: BigInt(index) },
      }));
      const { answers, ledger } = reserve(ledgerWith(...grants), countOf(pods), asked);

      const charges = (wanted: Grant[], direction: 'egress' | 'ingress') =>
        ['a', 'b', 'c', 'd'].map((of) => {
          const own = wanted.filter((each) => each.name === of).map((each) => each[direction]);
          return Math.max(0, pods[of]?.[direction] ?? 0, ...own);
        });
      const total = (wanted: Grant[], direction: 'egress' | 'ingress') =>
        charges(wanted, direction).reduce((sum, each) => sum + each, 0);
      const given = [...grants];
      for (const [index, each] of asked.entries()) {
        const next = grant(each.name, each.wanted, 100 + index);
        const over = directions.filter(
          (direction) =>
            each.wanted[direction] > (each.before?.[direction] ?? 0) &&
            total([...given, next], direction) > (hard[direction] ?? Number.POSITIVE_INFINITY),
        );
        const [first] = over;
        expect(answers[index]?.allowed).toBe(first === undefined);
        if (first !== undefined) {
          expect(answers[index]).toMatchObject({ direction: first, used: total(given, first), hard: hard[first] });
        } else if (!each.dryRun) given.push(next);
      }
      for (const direction of directions) expect(ledger.used[direction]).toBe(total(given, direction));
      expect(ledger.grants.length).toBeLessThanOrEqual(given.length);
    }),
  );
});

test('a lowered quota refuses new and raised pods, and a pod that is raised in the other direction is none of its business', () => {
  const count = countOf({ a: both(8), b: both(8) });
  const hard = { egress: 10 };
  const change = (wanted: Amounts) =>
    reserve(newLedger(10n), count, [claim('a', wanted, hard, { before: { version: 1n, ...both(8) } })]).answers[0];
  expect(change({ egress: 9, ingress: 8 })).toEqual({
    allowed: false,
    direction: 'egress',
    requested: 1,
    used: 16,
    hard: 10,
  });
  expect(change({ egress: 8, ingress: 99 })).toEqual({ allowed: true });
  expect(reserve(newLedger(10n), count, [claim('new', both(1), hard)]).answers[0]).toMatchObject({
    allowed: false,
    used: 16,
  });
});

test('a grant remembers which version it replaces, and the ledger which quota was asked about', () => {
  const hard = { egress: 10, ingress: 20 };
  const before = { version: 7n, ...both(1) };
  const { ledger } = reserve(newLedger(10n), countOf({ a: both(1) }), [
    claim('a', both(2), hard, { uid: 'a', before }),
    claim('b', both(3), hard),
  ]);
  expect(ledger).toEqual({
    ...{ settled: 10n, serial: 2, hard, used: both(5) },
    grants: [
      { name: 'a', uid: 'a', ...both(2), from: 7n, serial: 0 },
      { name: 'b', uid: 'b-new', ...both(3), from: undefined, serial: 1 },
    ],
  });
});

test('creates of one name share a grant with the largest of their amounts, and so do updates of one version', () => {
  const count = countOf({});
  const hard = { egress: 10, ingress: 10 };
  const before = { version: 7n, ...both(1) };
  const { ledger } = reserve(newLedger(10n), count, [
    claim('a', { egress: 6, ingress: 1 }, hard, { uid: 'one' }),
    claim('a', { egress: 1, ingress: 6 }, hard, { uid: 'two' }),
    claim('b', both(2), hard, { uid: 'b', before }),
    claim('b', both(3), hard, { uid: 'b', before }),
    claim('b', both(2), hard, { uid: 'b', before: { ...before, version: 8n } }),
  ]);
  expect(ledger.grants).toEqual([
    { name: 'a', uid: '', ...both(6), from: undefined, serial: 1 },
    { name: 'b', uid: 'b', ...both(3), from: 7n, serial: 3 },
    { name: 'b', uid: 'b', ...both(2), from: 8n, serial: 4 },
  ]);
  expect(ledger.used).toEqual(both(9));
});

test('of several creates of a name none is settled by a pod that one of them made: another may come after it', () => {
  const count = countOf({ a: both(6) });
  const several = ledgerWith({ ...grant('a', both(6)), uid: '' });
  expect(settle(several, count, () => false).grants).toHaveLength(1);
  expect(settle(several, count, () => true).grants).toEqual([]);
  const one = ledgerWith({ ...grant('a', both(6)), uid: 'a' });
  expect(settle(one, count, () => false)).toMatchObject({ grants: [], settled: 10n });
});

test('a dry run and a refusal leave nothing but what is used', () => {
  const hard = { egress: 10 };
  const { ledger } = reserve(newLedger(10n), countOf({}), [
    claim('a', both(10), hard, { dryRun: true }),
    claim('b', amountsOf({ egress: 11 }), hard),
  ]);
  expect(ledger).toEqual({ ...newLedger(10n), hard, used: nothing });
});
