import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createEmptyCgroups } from '../../../nodeagent/reconcile/empty.ts';

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'podrate-cgroup-'));
});
afterEach(() => rm(path, { recursive: true, force: true }));

const events = (populated: 0 | 1) => writeFile(join(path, 'cgroup.events'), `populated ${populated}\nfrozen 0\n`);
const pods = () => [{ uid: 'u', cgroup: { id: 1n, path } }];

test('a cgroup is empty when it was found without a process twice in a row, and no longer when it has one', async () => {
  const empty = createEmptyCgroups();
  await events(0);
  await empty.look(pods());
  expect(empty.has('u')).toBe(false);
  await empty.look(pods());
  expect(empty.has('u')).toBe(true);
  await events(1);
  await empty.look(pods());
  expect(empty.has('u')).toBe(false);
  await events(0);
  await empty.look(pods());
  expect(empty.has('u')).toBe(false);
});

test('a cgroup that vanished, and one that is not looked at any more, are not empty', async () => {
  const empty = createEmptyCgroups();
  await events(0);
  for (let look = 0; look < 2; look += 1) await empty.look(pods());
  await rm(path, { recursive: true });
  await empty.look(pods());
  expect(empty.has('u')).toBe(false);
  await empty.look([]);
  expect(empty.has('u')).toBe(false);
});
