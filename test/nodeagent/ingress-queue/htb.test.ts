import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  changeCommands,
  filterClassId,
  installCommands,
  leavesOf,
  linkRate,
  podHandle,
  type Queue,
} from '../../../nodeagent/ingress-queue/htb.ts';

const mtu = 1500;
const classifier = { file: '/sys/fs/bpf/podrate/0123456789ab/programs/podrate_queue', id: 7 };
const queue: Queue = { rate: 1_000_000, mtu, slot: 0x1f, classifier };
const rates = fc.integer({ min: 1000, max: 12_500_000_000 });

/** Bits per second of the classes, in the order of the commands. */
function classesOf(rate: number): { classId: string; rate: number; ceil: number; burst: number }[] {
  return installCommands('port', podHandle, { ...queue, rate }).flatMap((command) => {
    const found = /^class .* classid (\S+) htb rate (\d+)bit ceil (\d+)bit burst (\d+) cburst \4 /.exec(command);
    if (found === null) return [];
    const [, classId = '', ...numbers] = found;
    const [own = 0, ceil = 0, burst = 0] = numbers.map(Number);
    return [{ classId, rate: own, ceil, burst }];
  });
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
      expect(inner).toMatchObject({ classId: '7064:1', rate: 8 * linkRate({ rate, mtu }) });
      expect(classes).toHaveLength(4);
      expect(classes.every(({ ceil }) => ceil === inner?.rate)).toBe(true);
      const sure = classes.map((one) => one.rate);
      expect(sure.reduce((total, one) => total + one, 0)).toBeLessThanOrEqual(inner?.rate ?? 0);
      expect(sure.every((one) => one > 0)).toBe(true);
    }),
  );
});

test('at the lowest rate the kernel can still count the time of a burst: 32 bits of 64 ns', () => {
  for (const { rate, burst } of classesOf(1000)) expect((burst * 8) / rate / 64e-9).toBeLessThan(2 ** 32);
});

test('all commands of a queue at 1 MB/s, the filter last', () => {
  expect(installCommands('port', podHandle, queue)).toMatchInlineSnapshot(`
    [
      "qdisc add dev port root handle 7064: htb default 30",
      "class replace dev port parent 7064: classid 7064:1 htb rate 8074664bit ceil 8074664bit burst 32768 cburst 32768 quantum 1514",
      "class replace dev port parent 7064:1 classid 7064:10 htb rate 1009328bit ceil 8074664bit burst 32768 cburst 32768 prio 0 quantum 4542",
      "class replace dev port parent 7064:1 classid 7064:18 htb rate 1009328bit ceil 8074664bit burst 32768 cburst 32768 prio 1 quantum 4542",
      "class replace dev port parent 7064:1 classid 7064:20 htb rate 4037328bit ceil 8074664bit burst 32768 cburst 32768 prio 1 quantum 4542",
      "class replace dev port parent 7064:1 classid 7064:30 htb rate 2018664bit ceil 8074664bit burst 32768 cburst 32768 prio 1 quantum 1514",
      "qdisc replace dev port parent 7064:10 handle 8064: bfifo limit 90769",
      "qdisc replace dev port parent 7064:18 handle 8864: bfifo limit 166469",
      "qdisc replace dev port parent 7064:20 handle 9064: bfifo limit 90769",
      "qdisc replace dev port parent 7064:30 handle a064: bfifo limit 90769",
      "filter replace dev port parent 7064: protocol all prio 1 handle 1 bpf direct-action object-pinned /sys/fs/bpf/podrate/0123456789ab/programs/podrate_queue classid 7064:1f",
    ]
  `);
});

test('every class has a leaf of its own', () => {
  const leaves = leavesOf(podHandle, queue);
  const children = installCommands('port', podHandle, queue).flatMap(
    (command) => / parent 7064:1 classid (\S+) /.exec(command)?.[1] ?? [],
  );
  expect(leaves.map(({ parent }) => parent)).toEqual(children);
  expect(new Set(leaves.map(({ handle }) => handle)).size).toBe(leaves.length);
});

test('a change deletes nothing, touches a leaf before the classes, and every other leaf after them', () => {
  const commands = changeCommands('port', podHandle, queue);
  const kinds = commands.map((command) => command.split(' ').slice(0, 2).join(' '));
  expect(kinds[0]).toBe('qdisc replace');
  const lastClass = kinds.lastIndexOf('class replace');
  expect(kinds.slice(1, lastClass + 1)).toEqual(Array(lastClass).fill('class replace'));
  expect(kinds.slice(lastClass + 1)).toEqual([...Array(3).fill('qdisc replace'), 'filter replace']);
  expect(new Set(commands)).toEqual(new Set(installCommands('port', podHandle, queue).slice(1)));
});

test('the class id of the filter carries the slot', () => {
  expect([filterClassId(podHandle, 1), filterClassId(podHandle, 1023)]).toEqual(['7064:1', '7064:3ff']);
});
