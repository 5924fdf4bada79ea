import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { pino } from 'pino';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { conditionOf } from '../../../nodeagent/condition.ts';
import { createMarkings } from '../../../nodeagent/dscp/controller.ts';
import { createMarker, type Marker } from '../../../nodeagent/dscp/marker.ts';
import { dscpOf } from '../../../nodeagent/dscp/plan.ts';
import { listLinks } from '../../../nodeagent/net/links.ts';
import { mountedNamespaces } from '../../../nodeagent/net/namespaces.ts';
import { withNetlink } from '../../../nodeagent/net/netlink.ts';
import type { ShapedPod } from '../../../nodeagent/pods/desired.ts';
import { isDscp } from '../../../rate/dscp.ts';
import { StampError } from '../../../rate/stamp.ts';
import { mountBpffs } from '../../lab/bpffs.ts';
import { inNetns, makeNetnsDirectory, type NetnsDirectory } from '../netns.ts';

const objectFile = fileURLToPath(new URL('../../../bpf/shaper.bpf.o', import.meta.url));
const marker = createMarker(objectFile);
let netns: NetnsDirectory;
let failures = 0;
const logged: { msg: string; error: string }[] = [];

beforeAll(mountBpffs);
beforeEach(async () => {
  netns = await makeNetnsDirectory();
});
afterEach(async () => {
  await netns.end();
  logged.length = 0;
  failures = 0;
});

/** Markings without any memory, and a marker that counts how often it looks. */
function start(overrides: Partial<Marker> = {}) {
  let looks = 0;
  const counting: Marker = {
    ...marker,
    ...overrides,
    look: (namespace) => {
      looks += 1;
      return marker.look(namespace);
    },
  };
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });
  const markings = createMarkings({ marker: counting, netnsDirectory: netns.path, log });
  return {
    markings,
    looks: () => looks,
    async want(pods: readonly ShapedPod[], full = false) {
      if (!(await markings.settle(pods, full))) failures += 1;
    },
  };
}

function podOf(address: string | undefined, dscp: number | StampError, more: Partial<ShapedPod> = {}): ShapedPod {
  const addresses = address === undefined ? [] : [address];
  return {
    ...{ namespace: 'default', name: 'web', uid: `uid-${address}`, cgroupUid: 'u', running: true, terminating: false },
    ...{ hasProcess: true, runtimeClass: undefined },
    condition: undefined,
    limit: dscp instanceof StampError ? dscp : isDscp(dscp) ? { dscp } : {},
    ...{ queued: false, network: { isHost: false, addresses } },
    ...more,
  };
}

/** The code points on the devices of a namespace, by device. */
async function marksOf(file: string) {
  const names = new Map(withNetlink(file, (netlink) => listLinks(netlink))?.map(({ index, name }) => [index, name]));
  const marks = marker.look(file)?.marks ?? [];
  return Object.fromEntries(marks.map((mark) => [names.get(mark.index), dscpOf(mark)]));
}
type Markings = ReturnType<typeof createMarkings>;
const told = (markings: Markings, pod: ShapedPod) => conditionOf({ pod, state: 'no-limit' }, markings.of(pod));
const unlimited = 'The pod sends without limit and receives without limit.';

test('the namespace with the address of a pod is marked and no other, and the pod is told', async () => {
  const [web, other] = [await netns.make('cni-1', '10.1.0.1'), await netns.make('cni-2', '10.1.0.2')];
  await writeFile(join(netns.path, 'no-namespace'), '');
  const { markings, want } = start();
  const pod = podOf('10.1.0.1', 46);
  expect(told(markings, pod)).toBeUndefined();
  await want([pod]);
  expect(await marksOf(web)).toEqual({ eth0: 46, peer0: 46 });
  expect(await marksOf(other)).toEqual({});
  const message = `${unlimited} Its packets carry the code point 46 (EF).`;
  expect(told(markings, pod)).toEqual({ status: 'True', reason: 'InForce', message });
  expect(logged).toEqual([]);
});

test('a mark follows its pod: changed, gone; and what is as it should be is not looked at', async () => {
  const web = await netns.make('cni-1', '10.1.0.1');
  const { markings, want, looks } = start();
  await want([podOf('10.1.0.1', 46)]);
  const before = looks();
  await want([podOf('10.1.0.1', 46)]);
  expect(looks()).toBe(before);
  await want([podOf('10.1.0.1', 10)]);
  expect(await marksOf(web)).toEqual({ eth0: 10, peer0: 10 });
  // What is known is about another code point than the one asked for now.
  expect(told(markings, podOf('10.1.0.1', 46))).toBeUndefined();
  await want([]);
  expect(await marksOf(web)).toEqual({});
  expect(await inNetns(web, 'tc', 'qdisc', 'show')).not.toContain('clsact');
  const after = looks();
  await want([], true);
  expect(looks()).toBe(after);
});

test('a restarted agent keeps the marks that are asked for, and removes the others', async () => {
  const [kept, left] = [await netns.make('cni-1', '10.1.0.1'), await netns.make('cni-2', '10.1.0.2')];
  await start().want([podOf('10.1.0.1', 46), podOf('10.1.0.2', 46)]);
  const filters = await inNetns(kept, 'tc', 'filter', 'show', 'dev', 'eth0', 'egress');
  await start().want([podOf('10.1.0.1', 46)]);
  expect(await inNetns(kept, 'tc', 'filter', 'show', 'dev', 'eth0', 'egress')).toBe(filters);
  expect(await marksOf(left)).toEqual({});
  await start().want([]);
  expect(await marksOf(kept)).toEqual({});
});

test('a device that comes later is marked at the next thorough look', async () => {
  const web = await netns.make('cni-1', '10.1.0.1');
  const { want } = start();
  await want([podOf('10.1.0.1', 46)]);
  await inNetns(web, 'ip', 'link', 'add', 'net1', 'type', 'veth', 'peer', 'name', 'net2');
  await inNetns(web, 'ip', 'link', 'set', 'net1', 'up');
  await want([podOf('10.1.0.1', 46)]);
  expect(await marksOf(web)).not.toHaveProperty('net1');
  await want([podOf('10.1.0.1', 46)], true);
  // The other end is down, and sends nothing.
  expect(await marksOf(web)).toEqual({ eth0: 46, peer0: 46, net1: 46 });
});

test('an address that comes after a look, or changes, is found at the next thorough one', async () => {
  const web = await netns.make('cni-1', '10.1.0.1');
  const { markings, want } = start();
  await want([podOf('10.1.0.7', 46)]);
  await inNetns(web, 'ip', 'address', 'add', '10.1.0.7/24', 'dev', 'eth0');
  await want([podOf('10.1.0.7', 46)]);
  expect(told(markings, podOf('10.1.0.7', 46))).toMatchObject({ reason: 'NotMarked' });
  await want([podOf('10.1.0.7', 46)], true);
  expect(await marksOf(web)).toEqual({ eth0: 46, peer0: 46 });
  expect(told(markings, podOf('10.1.0.7', 46))).toMatchObject({ status: 'True' });
});

test("an address that a pod leaves to another is the other one's", async () => {
  const web = await netns.make('cni-1', '10.1.0.1');
  const [ended, current] = [podOf('10.1.0.1', 46, { terminating: true, uid: 'ended' }), podOf('10.1.0.1', 10)];
  await start().want([ended, current]);
  expect(await marksOf(web)).toEqual({ eth0: 10, peer0: 10 });
});

test('an address that a second namespace takes stays the first one’s, until that has gone', async () => {
  const first = await netns.make('cni-2', '10.1.0.1');
  const { markings, want } = start();
  await want([podOf('10.1.0.1', 46)]);
  const second = await netns.make('cni-1', '10.1.0.1');
  await want([podOf('10.1.0.1', 46)], true);
  expect([await marksOf(first), await marksOf(second)]).toEqual([{ eth0: 46, peer0: 46 }, {}]);
  expect(told(markings, podOf('10.1.0.1', 46))).toMatchObject({
    message: expect.stringContaining('two network namespaces have its address'),
  });
  netns.remove('cni-2');
  await want([podOf('10.1.0.1', 46)], true);
  expect(await marksOf(second)).toEqual({ eth0: 46, peer0: 46 });
});

test('a pod whose stamp cannot be read keeps its mark', async () => {
  const web = await netns.make('cni-1', '10.1.0.1');
  const { want } = start();
  await want([podOf('10.1.0.1', 46)]);
  const broken = podOf('10.1.0.1', new StampError('stamp/shape', '{}', 'is broken'));
  await want([broken], true);
  expect(await marksOf(web)).toEqual({ eth0: 46, peer0: 46 });
  await start().want([broken], true);
  expect(await marksOf(web)).toEqual({ eth0: 46, peer0: 46 });
});

test('a pod that cannot be marked is told why', async () => {
  await netns.make('cni-1', '10.1.0.1');
  const { markings, want } = start();
  const host = podOf('10.1.0.1', 46, { network: { isHost: true, addresses: ['10.1.0.1'] } });
  const lost = podOf('10.1.0.9', 46);
  const [young, early] = [podOf(undefined, 46), podOf('10.1.0.8', 46, { running: false })];
  await want([host, lost, young, early]);
  const lacks = `${unlimited} Its packets do not carry the code point 46 (EF)`;
  expect(told(markings, host)).toEqual({
    ...{ status: 'False', reason: 'NotMarked' },
    message: `${lacks}: with hostNetwork it has no network namespace of its own.`,
  });
  expect(told(markings, lost)).toMatchObject({
    message: `${lacks}: no network namespace in ${netns.path} has the address 10.1.0.9.`,
  });
  expect(told(markings, young)).toBeUndefined();
  expect(told(markings, early)).toBeUndefined();
});

test('a namespace with more devices than anybody needs is left alone, its pod told, and the others served', async () => {
  const [web, other] = [await netns.make('cni-1', '10.1.0.1'), await netns.make('cni-2', '10.1.0.2')];
  const devices = Array.from({ length: 33 }, (_, i) => `link add a${i} type veth peer name b${i}`).join('\n');
  await execa('nsenter', [`--net=${web}`, 'ip', '-batch', '-'], { input: devices });
  const { markings, want } = start();
  const pods = [podOf('10.1.0.1', 46), podOf('10.1.0.2', 46)] as const;
  await want(pods);
  expect(await marksOf(other)).toEqual({ eth0: 46, peer0: 46 });
  expect(told(markings, pods[0])).toMatchObject({
    message: expect.stringContaining('68 network devices are more than'),
  });
  expect(told(markings, pods[1])).toMatchObject({ status: 'True' });
  await want(pods, true);
  // Told once, counted each time.
  expect(logged.map(({ msg }) => msg)).toEqual(['packets of pods cannot be marked']);
  expect(failures).toBe(2);
});

test('a namespace that vanishes while it is looked at is no problem: its pod has ended', async () => {
  const [, other] = [await netns.make('cni-1', '10.1.0.1'), await netns.make('cni-2', '10.1.0.2')];
  const apply: Marker['apply'] = (namespace, look, marking) => {
    if (namespace.endsWith('cni-1')) netns.remove('cni-1');
    return marker.apply(namespace, look, marking);
  };
  await start({ apply }).want([podOf('10.1.0.1', 46), podOf('10.1.0.2', 46)]);
  expect(await marksOf(other)).toEqual({ eth0: 46, peer0: 46 });
  expect([logged, failures]).toEqual([[], 0]);
});

test('a hostile name of a device is a name like any other', async () => {
  const web = await netns.make('cni-1', '10.1.0.1');
  for (const name of ['-all', '"a#b', '$(id);x'])
    await inNetns(web, 'ip', 'link', 'set', 'peer0', 'name', name).then(async () => {
      await inNetns(web, 'ip', 'link', 'set', name, 'up');
      await start().want([podOf('10.1.0.1', 46)], true);
      expect(await marksOf(web)).toEqual({ eth0: 46, [name]: 46 });
      await inNetns(web, 'ip', 'link', 'set', 'dev', name, 'name', 'peer0');
    });
});

test('an uninstall takes every mark off, of pods and of cgroups', async () => {
  const web = await netns.make('cni-1', '10.1.0.1');
  await start().want([podOf('10.1.0.1', 46)]);
  const look = marker.look(web);
  if (look === undefined) throw new Error('the namespace is gone');
  marker.apply(web, look, { cgroupId: 4711n, dscp: 10 });
  expect(marker.look(web)?.marks).toHaveLength(4);
  expect(marker.clearAll(await mountedNamespaces(netns.path))).toEqual([]);
  expect(await marksOf(web)).toEqual({});
});
