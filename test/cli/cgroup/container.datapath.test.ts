import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { ChangeReport } from '../../../cli/limit/change.ts';
import { measureRate, readDelivered, readSent } from '../../lab/meter.ts';
import { createNetwork, type PodNetwork, removeNetwork } from '../../lab/network.ts';
import { makeScene, type Scene } from '../../nodeagent/scene.ts';
import { podrate } from '../podrate.ts';
import { type Container, startContainer } from './oci.ts';

const network = 'podrate-oci';
const docker = { runtime: 'runc', id: 'd0c4'.padEnd(64, '0') } as const;
const podman = { runtime: 'crun', id: 'd0d3'.padEnd(64, '1') } as const;
type Kind = typeof docker | typeof podman;
const kinds: readonly Kind[] = [docker, podman];
let scene: Scene;
let directory: string;
let nets: Record<string, PodNetwork>;
const containers = new Map<string, Container>();
const senders: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  await removeNetwork(network);
  scene = await makeScene('container');
  directory = await mkdtemp(join(tmpdir(), 'podrate-oci-'));
  nets = await createNetwork(
    network,
    kinds.map(({ runtime }) => runtime),
  );
  // Takes any number of streams.
  const command = ['nc', '-ll', '-p', '5001', '-e', 'busybox', 'sh', '-c', 'exec busybox cat > /dev/null'];
  for (const { runtime, id } of kinds) {
    const cgroup = join(scene.root, runtime === 'runc' ? `docker/${id}` : `machine.slice/libpod-${id}.scope`);
    const { netnsPath } = netOf(runtime);
    const options = { runtime, id, directory, cgroup, mount: scene.mount, netnsPath, command };
    containers.set(id, await startContainer(options));
  }
});
// Also of a test that failed: the next one, or its next try, begins without limits.
afterEach(async () => {
  for (const sender of senders.splice(0)) await sender.stop();
  for (const { id } of kinds) await limit('detach', id);
});
afterAll(async () => {
  for (const container of containers.values()) await container.delete();
  await scene?.end();
  await removeNetwork(network);
  await rm(directory, { recursive: true, force: true });
});

function netOf(runtime: string): PodNetwork {
  const net = nets[runtime];
  if (net === undefined) throw new Error(`no network for ${runtime}`);
  return net;
}

async function limit(command: string, container: string, ...options: string[]): Promise<ChangeReport> {
  const where = ['--pin-dir', scene.pinDir, '--release-cgroup', scene.root, '--cgroup-root', scene.root];
  const { out, err } = await podrate([command, '--container', container, '--json', ...options, ...where]);
  if (err !== '') throw new Error(err);
  return JSON.parse(out);
}

/** Sends on one connection, from container to container, until the test ends. */
function stream(from: Kind, to: Kind): void {
  const container = containers.get(from.id);
  const host = netOf(to.runtime).ipv4;
  // It ends by a signal, which is no error here.
  const ended = container
    ?.exec(['sh', '-c', `echo $$ > /sender; exec nc ${host} 5001 < /dev/zero > /dev/null`])
    .catch(() => {});
  senders.push({
    async stop() {
      await container?.exec(['sh', '-c', 'read pid < /sender; kill "$pid"']);
      await ended;
    },
  });
}

async function ratio(read: typeof readSent, of: Kind, rate: number): Promise<number> {
  await sleep(500);
  return (await measureRate(() => read(netOf(of.runtime)), 1000)) / rate;
}

test('containers of runc and crun are limited from the host by their ids, also in what passes between them', async () => {
  expect(await limit('attach', docker.id.slice(0, 12), '--egress', '5M')).toMatchObject({
    cgroup: `${scene.root}/docker/${docker.id}`,
    inForce: true,
    egressBytesPerSecond: 5_000_000,
    ingressBytesPerSecond: null,
    changed: true,
  });
  const { cgroup } = await limit('attach', podman.id, '--ingress', '20M');
  expect(cgroup).toBe(`${scene.root}/machine.slice/libpod-${podman.id}.scope`);
  stream(docker, podman);
  const sent = await ratio(readSent, docker, 5_000_000);
  expect(sent).toBeGreaterThan(0.85);
  expect(sent).toBeLessThan(1.05);
  await limit('set', podman.id.slice(0, 4), '--ingress', '2M');
  // Policed: a sender next door reaches a part of it, on slow machines a small one (docs/shaper.md, "The policer").
  let received = 0;
  for (let tries = 0; tries < 5 && received <= 0.1; tries += 1) {
    received = await ratio(readDelivered, podman, 2_000_000);
    expect(received).toBeLessThan(1.05);
  }
  expect(received).toBeGreaterThan(0.1);
  for (const { id } of kinds) expect(await limit('detach', id)).toMatchObject({ inForce: false, changed: true });
});

test('a running container is set free again, and the limit of another stays', async () => {
  await limit('attach', podman.id, '--rate', '5M');
  await limit('attach', docker.id, '--egress', '1M');
  stream(podman, docker);
  const limited = await ratio(readSent, podman, 5_000_000);
  expect(limited).toBeGreaterThan(0.85);
  expect(limited).toBeLessThan(1.05);
  await limit('detach', podman.id);
  expect(await ratio(readSent, podman, 5_000_000)).toBeGreaterThan(3);
  expect(await limit('set', docker.id, '--ingress', 'none')).toMatchObject({
    egressBytesPerSecond: 1e6,
    changed: false,
  });
  await limit('detach', docker.id);
});

test('a connection that a container had before its limit is paced by it too', async () => {
  stream(docker, podman);
  await sleep(300);
  await limit('attach', docker.id, '--egress', '5M');
  const sent = await ratio(readSent, docker, 5_000_000);
  expect(sent).toBeGreaterThan(0.9);
  expect(sent).toBeLessThan(1.05);
  await limit('detach', docker.id);
});

test('an id that fits both, and one that fits none, is refused for programs to read', async () => {
  await expect(limit('attach', 'd0', '--rate', '1M')).rejects.toThrow('"code": "cli/ambiguous"');
  await expect(limit('detach', 'd1')).rejects.toThrow(`  ${docker.id}`);
});
