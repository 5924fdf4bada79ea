/** The queue in front of what is limited by hand: --ingress-queue. */
import { stat } from 'node:fs/promises';
import type { SlotConfig } from '../nodeagent/layout.ts';
import { type HostDevice, hostEndOf, linksIn, readHostSide } from '../nodeagent/pod-devices.ts';
import { manualHandle } from '../nodeagent/queue.ts';
import { settleQueues } from '../nodeagent/queue-steps.ts';
import type { Cgroup } from '../nodeagent/state.ts';
import { createTc } from '../nodeagent/tc.ts';
import { networkNamespaces } from './adopt.ts';
import { CommandError } from './errors.ts';

/**
 * Makes the queue in front of a cgroup be as its config says, before the config comes into force.
 * @param before the config that is in force
 * @throws CommandError if there can be no queue
 */
export async function settleQueue(cgroup: Cgroup, before: SlotConfig | undefined, config: SlotConfig): Promise<void> {
  if (!config.queued && !before?.queued) return;
  const devices = await hostDevices(cgroup);
  if (config.queued && devices.length === 0) {
    const advice =
      'a queue needs processes with a network namespace and a virtual Ethernet device of their own, as containers have';
    throw new CommandError(
      'cli/no-queue',
      `nothing in ${cgroup.path} is behind a device of this network namespace: ${advice}`,
    );
  }
  const names = new Set(devices.map(({ name }) => name));
  const queues = devices.map(({ name, mtu }) => [name, { rate: config.ingress.rate, mtu }] as const);
  const { foreign, failed } = await settleQueues(createTc(), manualHandle, new Map(config.queued ? queues : []), names);
  for (const { device, kind, handle } of foreign.values()) {
    const advice = 'podrate leaves it; take it off, or leave out --ingress-queue';
    throw new CommandError('cli/no-queue', `${device} has a queue of somebody else's (${kind} ${handle}): ${advice}`);
  }
  for (const [device, error] of failed) {
    throw new CommandError('cli/no-queue', `no queue on ${device}: ${error.message}`, { cause: error });
  }
}

/** Takes the queue off what is limited no more. */
export async function removeQueue(cgroup: Cgroup, before: SlotConfig): Promise<void> {
  await settleQueue(cgroup, before, { ...before, queued: false });
}

/** This namespace's ends of the devices of the cgroup's processes. */
async function hostDevices(cgroup: Cgroup): Promise<readonly HostDevice[]> {
  const own = await stat('/proc/self/ns/net', { bigint: true });
  const host = await readHostSide();
  const found: HostDevice[] = [];
  for (const { file, id } of await networkNamespaces(cgroup.path)) {
    if (id === own.ino) continue;
    const ends = (await linksIn(file)).map((link) => hostEndOf(link, id, host));
    found.push(...ends.filter((end) => end !== undefined));
  }
  return found;
}
