import { expect, test } from 'vitest';
import { queueFilter, rootQueues } from '../../../nodeagent/ingress-queue/state.ts';

// Recorded from tc of iproute2 6.1.
const qdiscs = [
  {
    ...{ kind: 'htb', handle: '7064:', dev: 'port', root: true, refcnt: 2 },
    options: { r2q: 10, default: '0x11', direct_packets_stat: 0, direct_qlen: 1000 },
  },
  { kind: 'bfifo', handle: '8064:', dev: 'port', parent: '7064:10', options: { limit: 267402 } },
  { kind: 'pfifo', handle: '8164:', dev: 'port', parent: '7064:11', options: { limit: 1000 } },
  { kind: 'noqueue', handle: '0:', dev: 'lo', root: true, refcnt: 2, options: {} },
  { kind: 'bfifo', handle: '8064:', dev: 'other', parent: '7064:10', options: { limit: 1 } },
];
const head = { protocol: 'all', pref: 1, kind: 'bpf', chain: 0 };
const options = {
  ...{ handle: '0x1', flowid: '7064:1f', bpf_name: 'podrate_queue', 'direct-action': true, not_in_hw: true },
  prog: { id: 85, name: 'podrate_queue', tag: 'c9de4b1cdda27f54', jited: 1 },
};

test('the root of each device is read with the bfifos below it', () => {
  const roots = rootQueues(qdiscs);
  expect([...roots.keys()]).toEqual(['port', 'lo']);
  const leaf = { parent: '7064:10', handle: '8064:', limit: 267402 };
  expect(roots.get('port')).toEqual({
    ...{ device: 'port', kind: 'htb', handle: '7064:' },
    leaves: new Map([['7064:10', leaf]]),
  });
  expect(roots.get('lo')).toMatchObject({ kind: 'noqueue', handle: '0:', leaves: new Map() });
});

test('the filter is recognised by its place, and read with its program and class', () => {
  expect(queueFilter([head, { ...head, options }])).toEqual({ programId: 85, classId: '7064:1f' });
  expect(
    queueFilter([
      { ...head, pref: 2 },
      { ...head, pref: 2, options },
    ]),
  ).toBeUndefined();
  expect(queueFilter([head, { ...head, options: { ...options, handle: '0x2' } }])).toBeUndefined();
  expect(queueFilter([head, { ...head, options: { handle: '0x1', flowid: '7064:1' } }])).toBeUndefined();
  expect(queueFilter([])).toBeUndefined();
});
