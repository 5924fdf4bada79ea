import { expect, test } from 'vitest';
import { queueFilter, rootQueues } from '../../../nodeagent/ingress-queue/state.ts';
import { type Filter, type Qdisc, root } from '../../../nodeagent/net/tc.ts';

const qdiscs: Qdisc[] = [
  { device: 'port', kind: 'htb', handle: '7064:', parent: root, limit: 0 },
  { device: 'port', kind: 'bfifo', handle: '8064:', parent: '7064:10', limit: 267402 },
  { device: 'port', kind: 'pfifo', handle: '8164:', parent: '7064:11', limit: 0 },
  { device: 'lo', kind: 'noqueue', handle: '0:', parent: root, limit: 0 },
  { device: 'other', kind: 'bfifo', handle: '8064:', parent: '7064:10', limit: 1 },
];
const filter: Filter = { preference: 1, handle: 1, classId: '7064:1f', programId: 85 };

test('the root of each device is read with the bfifos below it', () => {
  const roots = rootQueues(qdiscs);
  expect([...roots.keys()]).toEqual(['port', 'lo']);
  expect(roots.get('port')).toMatchObject({ device: 'port', kind: 'htb', handle: '7064:' });
  expect([...(roots.get('port')?.leaves ?? [])]).toMatchObject([['7064:10', { handle: '8064:', limit: 267402 }]]);
  expect(roots.get('lo')).toMatchObject({ kind: 'noqueue', handle: '0:', leaves: new Map() });
});

test('the filter is recognised by its place, and read with its program and class', () => {
  expect(queueFilter([{ ...filter, preference: 2 }, filter])).toEqual({ programId: 85, classId: '7064:1f' });
  for (const other of [{ preference: 2 }, { handle: 2 }, { programId: 0 }]) {
    expect(queueFilter([{ ...filter, ...other }])).toBeUndefined();
  }
  expect(queueFilter([])).toBeUndefined();
});
