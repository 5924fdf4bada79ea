import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { mountBpffs } from '../../test/lab/bpffs.ts';
import { createCgroup, findCgroup2, removeCgroup } from '../../test/lab/cgroups.ts';
import type { Pod } from '../../test/lab/lab.ts';
import { createNetwork, type PodNetwork, removeNetwork } from '../../test/lab/network.ts';
import { type LoadedShaper, loadShaper } from '../../test/lab/shaper.ts';
import { type LoadProgram, startProgram } from './process.ts';
import type { Programs } from './programs.ts';

/** Four pods without Kubernetes: a, b and c on one bridge, `far` behind a line that takes 10 ms each way. */
export type PodName = 'a' | 'b' | 'c' | 'far';

/** What every peer and every scenario finds. */
export interface Testbed {
  readonly pods: Readonly<Record<PodName, Pod>>;
  /** The cgroup above all pods. */
  readonly rootCgroup: string;
  readonly programs: Programs;
  readonly shaper: LoadedShaper;
  /** Where peers pin what they load. */
  readonly pinDirectory: string;
  /** Pinned map of the meter on the eth0 of b and of far. */
  readonly meterMap: string;
  close(): Promise<void>;
}

const LINE_MS = 10;

/** Builds the testbed under `name`, in place of what a killed run of that name has left. Needs root. */
export async function openTestbed(name: string, programs: Programs): Promise<Testbed> {
  const rootCgroup = join(await findCgroup2(), name);
  // Beside the shaper's own.
  const pins = `/sys/fs/bpf/${name}-peers`;
  const undo: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
    await removeCgroup(rootCgroup);
    await removeNetwork(name);
    await rm(pins, { recursive: true, force: true });
  };
  await mountBpffs();
  await close();
  try {
    const networks = await createNetwork(name, ['a', 'b', 'c', 'relay', 'far']);
    const pod = async (podName: string): Promise<Pod> => {
      const network = networks[podName] as PodNetwork;
      return { ...network, name: podName, cgroup: await createCgroup(join(rootCgroup, podName)) };
    };
    const pods = { a: await pod('a'), b: await pod('b'), c: await pod('c'), far: await pod('far') };
    // The lab counts on the bridge's ports, where shapers of the queueing kind want to be.
    for (const { hubPort } of Object.values(networks)) await tc(`${name}-hub`, `qdisc del dev ${hubPort} clsact`);
    await pinMeter(await programs.compile('meter'), `${pins}/meter`, [pods.b, pods.far]);
    const relay = await putFarAway(name, await pod('relay'), programs);
    undo.push(() => relay.end());
    const shaper = await loadShaper(name);
    undo.push(() => shaper.unload());
    return { pods, rootCgroup, programs, shaper, pinDirectory: pins, meterMap: `${pins}/meter/maps/bytes`, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function pinMeter(object: string, pins: string, receivers: readonly Pod[]): Promise<void> {
  await mkdir(pins, { recursive: true });
  await execa('bpftool', ['prog', 'loadall', object, pins, 'pinmaps', `${pins}/maps`]);
  const filter = `filter add dev eth0 ingress bpf direct-action pinned ${pins}/meter`;
  for (const { netnsPath } of receivers) await execa('nsenter', [`--net=${netnsPath}`, 'tc', ...filter.split(' ')]);
}

/** Moves far's cable from the bridge to a device of the relay's namespace, and has the relay carry frames between the two. */
async function putFarAway(name: string, relay: Pod, programs: Programs): Promise<LoadProgram> {
  await ip(`${name}-hub`, `link set port-far nomaster netns ${name}-relay`);
  await execa('nsenter', [`--net=${relay.netnsPath}`, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1']);
  await ip(`${name}-relay`, 'address flush dev eth0');
  await ip(`${name}-relay`, 'link set port-far up');
  return startProgram(relay, join(programs.native, 'relay'), ['eth0', 'port-far', LINE_MS]);
}

const ip = (netns: string, command: string) => execa('ip', ['-netns', netns, ...command.split(' ')]);
const tc = (netns: string, command: string) => execa('tc', ['-netns', netns, ...command.split(' ')]);
