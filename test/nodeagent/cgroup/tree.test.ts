import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createCgroups } from '../../../nodeagent/cgroup/tree.ts';

// The reader asks a directory tree for names and inode numbers only, so any file system will do here.
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'podrate-cgroups-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const uid = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
const slice = (number: number) => uid(number).replaceAll('-', '_');
const make = (...paths: string[]) => {
  for (const path of paths) mkdirSync(join(root, path), { recursive: true });
};

test('pods of all classes are found under the cgroupfs driver', async () => {
  make(`kubepods/pod${uid(1)}`, `kubepods/burstable/pod${uid(2)}/abc`, `kubepods/besteffort/pod${uid(3)}`);
  const { byUid, parents } = await createCgroups({ root, mount: root }).scan();
  expect([...byUid.keys()].sort()).toEqual([uid(1), uid(2), uid(3)]);
  const path = join(root, `kubepods/burstable/pod${uid(2)}`);
  expect(byUid.get(uid(2))).toEqual({ path, id: BigInt(statSync(path).ino) });
  expect([...parents].sort()).toEqual(
    ['', 'kubepods', 'kubepods/besteffort', 'kubepods/burstable'].map((at) => join(root, at)),
  );
});

test('pods of all classes are found under the systemd driver', async () => {
  make(
    `kubepods.slice/kubepods-pod${slice(1)}.slice`,
    `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${slice(2)}.slice/cri-containerd-abc.scope`,
    `kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${slice(3)}.slice`,
  );
  const { byUid } = await createCgroups({ root, mount: root }).scan();
  expect([...byUid.keys()].sort()).toEqual([uid(1), uid(2), uid(3)]);
});

test('a tree of pods is found up to four levels deep, as kind makes it inside of a container', async () => {
  make(`system.slice/docker-1.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod${slice(1)}.slice`);
  const { byUid } = await createCgroups({ root, mount: root }).scan();
  expect([...byUid.keys()]).toEqual([uid(1)]);
});

test('a tree that appears later is found by the next scan, and one that was replaced too', async () => {
  const cgroups = createCgroups({ root, mount: root });
  expect((await cgroups.scan()).byUid.size).toBe(0);
  make(`kubepods/pod${uid(1)}`);
  expect((await cgroups.scan()).byUid.size).toBe(1);
  rmSync(join(root, 'kubepods'), { recursive: true });
  make(`kubepods.slice/kubepods-pod${slice(2)}.slice`);
  await cgroups.scan();
  expect([...(await cgroups.scan()).byUid.keys()]).toEqual([uid(2)]);
});

test('a second tree right below the root is found by the next scan', async () => {
  const cgroups = createCgroups({ root, mount: root });
  make(`kubepods/pod${uid(1)}`);
  await cgroups.scan();
  make(`kubepods.slice/kubepods-pod${slice(2)}.slice`);
  expect((await cgroups.scan()).byUid.size).toBe(2);
});

test('a second tree further down is found when it is asked for', async () => {
  const cgroups = createCgroups({ root, mount: root });
  make(`kubepods/pod${uid(1)}`);
  await cgroups.scan();
  make(`kubelet/kubepods/pod${uid(2)}`);
  expect((await cgroups.scan()).byUid.size).toBe(1);
  expect((await cgroups.scan({ searchTrees: true })).byUid.size).toBe(2);
});

test('directories that come and go during scans are no error', async () => {
  const cgroups = createCgroups({ root, mount: root });
  make('kubepods');
  let busy = true;
  const churn = (async () => {
    for (let round = 0; busy; round += 1) {
      make(`kubepods/pod${uid(round % 50)}`);
      await new Promise(setImmediate);
      rmSync(join(root, `kubepods/pod${uid((round * 7) % 50)}`), { recursive: true, force: true });
    }
  })();
  for (let scan = 0; scan < 30; scan += 1) await cgroups.scan();
  busy = false;
  await churn;
});

test('a cgroup is found by its id wherever it is', async () => {
  make('a/b/c', 'a/d');
  const cgroups = createCgroups({ root, mount: root });
  const id = BigInt(statSync(join(root, 'a/b/c')).ino);
  expect(await cgroups.find(new Set([id, 1n]))).toEqual(new Map([[id, { id, path: join(root, 'a/b/c') }]]));
  expect((await cgroups.find(new Set())).size).toBe(0);
});
