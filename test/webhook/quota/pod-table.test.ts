import fc from 'fast-check';
import { expect, test } from 'vitest';
import { amountsOf, nothing, plus } from '../../../webhook/quota/amounts.ts';
import { type CountedPod, createPodTable } from '../../../webhook/quota/pod-table.ts';

const pod = (name: string, uid: string, version: number, egress = 1, namespace = 'team'): CountedPod => ({
  ...{ namespace, name, uid, version: BigInt(version) },
  amounts: amountsOf({ egress }),
});

const event = fc.record({
  type: fc.constantFrom('put', 'remove', 'replace'),
  name: fc.constantFrom('a', 'b', 'c'),
  namespace: fc.constantFrom('team', 'other'),
  egress: fc.nat(9),
  uid: fc.constantFrom('1', '2'),
});

test('the sum is that of the pods that a plain walk finds, after any events', () => {
  fc.assert(
    fc.property(fc.array(event), (events) => {
      const table = createPodTable(1_000, { nowMs: () => 0, dateMs: () => 0 });
      let plain = new Map<string, CountedPod>();
      for (const [index, { type, name, namespace, egress, uid }] of events.entries()) {
        const each = pod(name, uid, index + 1, egress, namespace);
        const key = `${namespace}/${name}`;
        if (type === 'replace') {
          plain = new Map([[key, each]]);
          table.replace([each], each.version);
        } else if (type === 'put') {
          plain.set(key, each);
          table.put(each);
        } else {
          if (plain.get(key)?.uid === uid) plain.delete(key);
          table.remove(each);
        }
        for (const team of ['team', 'other']) {
          const pods = [...plain.values()].filter((other) => other.namespace === team);
          const count = table.count(team);
          expect(count.sum).toEqual(pods.map(({ amounts }) => amounts).reduce(plus, nothing));
          expect(count.pods).toBe(pods.length);
          expect(count.version).toBe(BigInt(index + 1));
        }
      }
    }),
  );
});

test('a version is never older than the last event, and that of a list is taken as it is', () => {
  const table = createPodTable(1_000, { nowMs: () => 0, dateMs: () => 0 });
  expect(table.version()).toBeUndefined();
  table.replace([], 10n);
  table.reach(5n);
  expect(table.version()).toBe(10n);
  table.reach(20n);
  expect(table.version()).toBe(20n);
  table.replace([], 3n);
  expect(table.version()).toBe(3n);
});

test('a pod that is being deleted leaves when its time is over, as it leaves a ResourceQuota', () => {
  let date = 0;
  const table = createPodTable(1_000, { nowMs: () => 0, dateMs: () => date });
  table.replace([{ ...pod('a', 'a1', 5, 3), endsMs: 60_000 }, pod('b', 'b1', 2)], 10n);
  date = 59_999;
  expect(table.count('team').sum.egress).toBe(4);
  date = 60_000;
  expect(table.count('team')).toMatchObject({ pods: 1, sum: { egress: 1 } });
  expect(table.count('team').hasLeft('a1', 4n)).toBe(true);
  table.put({ ...pod('a', 'a1', 11, 3), endsMs: 60_000 });
  expect(table.count('team').sum.egress).toBe(1);
  table.put({ ...pod('a', 'a2', 12, 2) });
  expect(table.count('team').sum.egress).toBe(3);
});

test('a pod that was deleted, replaced under its name or missing in a list has left, at a version that is not too late', () => {
  const table = createPodTable(1_000, { nowMs: () => 0, dateMs: () => 0 });
  table.replace([pod('a', 'a1', 1), pod('b', 'b1', 2), pod('c', 'c1', 3), pod('d', 'd1', 4)], 10n);
  table.remove(pod('a', 'a1', 12));
  table.put(pod('b', 'b2', 14));
  table.replace([pod('b', 'b2', 14), pod('d', 'd1', 4)], 20n);
  const { hasLeft } = table.count('team');
  expect([hasLeft('a1', 11n), hasLeft('a1', 12n)]).toEqual([true, false]);
  expect([hasLeft('b1', 1n), hasLeft('b1', 2n)]).toEqual([true, false]);
  expect([hasLeft('c1', 2n), hasLeft('c1', 3n)]).toEqual([true, false]);
  for (const uid of ['b2', 'd1', 'unknown']) expect(hasLeft(uid, -1n)).toBe(false);
});

test('who has left is forgotten after a while', () => {
  let now = 0;
  const table = createPodTable(1_000, { nowMs: () => now, dateMs: () => now });
  table.remove(pod('a', 'a1', 1));
  now = 500;
  table.remove(pod('b', 'b1', 2));
  now = 1_000;
  table.remove(pod('c', 'c1', 3));
  const { hasLeft } = table.count('team');
  expect(['a1', 'b1', 'c1'].map((uid) => hasLeft(uid, -1n))).toEqual([false, true, true]);
});
