import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  changeQueue,
  filterClassId,
  installQueue,
  leavesOf,
  linkRate,
  podHandle,
  type Queue,
} from '../../../nodeagent/ingress-queue/htb.ts';

const mtu = 1500;
const classifier = { file: '/sys/fs/bpf/podrate/0123456789ab/programs/podrate_queue', id: 7 };
const queue: Queue = { rate: 1_000_000, mtu, slot: 0x1f, classifier };
const rates = fc.integer({ min: 1000, max: 12_500_000_000 });

/** The classes, in the order of the changes. */
function classesOf(rate: number) {
  return installQueue('port', podHandle, { ...queue, rate }).flatMap((change) =>
    'put' in change && change.put === 'class' ? [change] : [],
  );
}

test('the queue is never faster than the limit counts, and at most two bytes slower', () => {
  fc.assert(
    fc.property(rates, fc.constantFrom(1280, 1450, 1500, 9000), (rate, size) => {
      // Of full-sized packets, IP bytes per second.
      const ip = (linkRate({ rate, mtu: size }) / (size + 14)) * size;
      expect(ip).toBeLessThanOrEqual(rate * (1 + 1e-9));
      expect(ip).toBeGreaterThan(rate * (1 - 1e-9) - 2);
    }),
  );
});

test('no class may take more than the rate, and together the classes are sure of no more', () => {
  fc.assert(
    fc.property(rates, (rate) => {
      const [inner, ...classes] = classesOf(rate);
      expect(inner).toMatchObject({ handle: '7064:1', rate: linkRate({ rate, mtu }) });
      expect(classes).toHaveLength(4);
      expect(classes.every(({ ceil }) => ceil === inner?.rate)).toBe(true);
      const sure = classes.map((one) => one.rate);
      expect(sure.reduce((total, one) => total + one, 0)).toBeLessThanOrEqual(inner?.rate ?? 0);
      expect(sure.every((one) => one > 0)).toBe(true);
    }),
  );
});

test('at the lowest rate the kernel can still count the time of a burst: 32 bits of 64 ns', () => {
  for (const { rate, burst } of classesOf(1000)) expect(burst / rate / 64e-9).toBeLessThan(2 ** 32);
});

test('all changes for a queue at 1 MB/s, the filter last', () => {
  const changes = installQueue('port', podHandle, queue);
  expect(changes.every(({ device }) => device === 'port')).toBe(true);
  const [whole, burst, quantum] = [1_009_333, 32_768, 1514];
  const shared = { put: 'class', parent: '7064:1', ceil: whole, burst };
  expect(changes).toMatchObject([
    { put: 'htb', parent: 'ffff:ffff', handle: '7064:', defaultClass: '30' },
    { ...shared, parent: '7064:', handle: '7064:1', rate: whole, quantum },
    { ...shared, handle: '7064:10', rate: 126_166, priority: 0, quantum: 3 * quantum },
    { ...shared, handle: '7064:18', rate: 126_166, priority: 1, quantum: 3 * quantum },
    { ...shared, handle: '7064:20', rate: 504_666, priority: 1, quantum: 3 * quantum },
    { ...shared, handle: '7064:30', rate: 252_333, priority: 1, quantum },
    { put: 'bfifo', parent: '7064:10', handle: '8064:', limit: 90_769 },
    { put: 'bfifo', parent: '7064:18', handle: '8864:', limit: 166_469 },
    { put: 'bfifo', parent: '7064:20', handle: '9064:', limit: 90_769 },
    { put: 'bfifo', parent: '7064:30', handle: 'a064:', limit: 90_769 },
    { put: 'filter', parent: '7064:', preference: 1, handle: 1, classId: '7064:1f', program: classifier.file },
  ]);
});

test('every class has a leaf of its own', () => {
  const leaves = leavesOf(podHandle, queue);
  const [, ...children] = classesOf(queue.rate);
  expect(leaves.map(({ parent }) => parent)).toEqual(children.map(({ handle }) => handle));
  expect(new Set(leaves.map(({ handle }) => handle)).size).toBe(leaves.length);
});

test('a change deletes nothing, touches a leaf before the classes, and every other leaf after them', () => {
  const changes = changeQueue('port', podHandle, queue);
  const kinds = changes.map((change) => ('put' in change ? change.put : 'remove'));
  expect(kinds).toEqual(['bfifo', ...Array(5).fill('class'), ...Array(3).fill('bfifo'), 'filter']);
  expect(new Set(changes)).toEqual(new Set(installQueue('port', podHandle, queue).slice(1)));
});

test('the class id of the filter carries the slot', () => {
  expect([filterClassId(podHandle, 1), filterClassId(podHandle, 1023)]).toEqual(['7064:1', '7064:3ff']);
});
