import { execa } from 'execa';
import type { Pod } from '../../test/lab/lab.ts';

/** Runs tc commands in the namespace of the bridge, in one process. */
export async function hubTc(pod: Pod, commands: readonly string[]): Promise<void> {
  await execa('nsenter', [`--net=${pod.hubNetnsPath}`, 'tc', '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

/** Takes the queueing disciplines off the pod's port, those that are there. */
export async function removeQueues(pod: Pod): Promise<void> {
  for (const place of ['root', 'ingress']) {
    const command = ['tc', 'qdisc', 'del', 'dev', pod.hubPort, place];
    await execa('nsenter', [`--net=${pod.hubNetnsPath}`, ...command], { reject: false });
  }
}
