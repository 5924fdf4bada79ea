import { spawn } from 'node:child_process';
import { mkdir, rmdir } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { type Cgroup, inode, isPopulated } from '../../nodeagent/cgroup/tree.ts';
import { namespacesOfProcesses } from '../../nodeagent/net/namespaces.ts';
import type { Node } from '../../nodeagent/open-node.ts';
import { configOfLimit } from '../../nodeagent/pods/desired.ts';
import type { Dscp } from '../../rate/dscp.ts';
import { type CgroupOptions, cgroupOfProcess } from '../cgroup/cgroup.ts';
import { CommandError } from '../errors.ts';
import type { Wait } from '../limit/adopt.ts';
import { type LimitOptions, readLimit } from '../limit/limit.ts';
import { markCgroup } from '../limit/mark.ts';
import { limitCgroup } from './attach.ts';
import { freeCgroup } from './detach.ts';

/** How often it is looked whether a cgroup has become empty, in ms. */
const pollMs = 50;

/**
 * Runs a command in a cgroup of its own, which is limited before the command starts and removed when the last process of it has
 * ended, also those that the command left behind.
 * @param wait waits for a time in ms
 * @returns the command's exit status; 128 and the signal's number where a signal ended it, 127 where there is no such command
 * @throws CommandError
 */
export async function run(
  node: Node,
  options: LimitOptions & CgroupOptions,
  command: readonly string[],
  wait: Wait,
): Promise<number> {
  const { limit, burstMs, dscp } = readLimit(options);
  if (options['ingress-queue']) {
    const advice = 'give it a network namespace of its own, and use podrate attach';
    throw new CommandError('cli/usage', `podrate run has no queue, because the command shares this network: ${advice}`);
  }
  if (command.length === 0) throw new CommandError('cli/usage', 'say what to run: podrate run --rate 1M -- COMMAND');
  if ((options.cgroup ?? options.pid ?? options.container) !== undefined) {
    const advice = 'to limit one that exists, use podrate attach';
    throw new CommandError('cli/usage', `podrate run makes a cgroup of its own for the command: ${advice}`);
  }
  const cgroup = await createCgroup(node.cgroupMount);
  const remove = () => freeCgroup(node, cgroup, async () => {}).finally(() => rmdir(cgroup.path));
  let status: number;
  try {
    await limitCgroup(node, cgroup, () => ({ config: configOfLimit(limit, burstMs), queue: 'never' }));
    status = await marked(node, cgroup, dscp, async () => {
      const ended = await runIn(cgroup, command);
      while (await isPopulated(cgroup.path)) await wait(pollMs);
      return ended;
    });
  } catch (error) {
    // What is wrong with the cgroup after that is of no interest.
    await remove().catch(() => undefined);
    throw error;
  }
  await remove();
  return status;
}

/** Does something while what the cgroup sends is marked in this process's network namespace, which a command inherits. */
async function marked<T>(node: Node, cgroup: Cgroup, dscp: Dscp | undefined, task: () => Promise<T>): Promise<T> {
  if (dscp === undefined) return task();
  const namespaces = await namespacesOfProcesses([process.pid]);
  try {
    await markCgroup(node, cgroup, dscp, namespaces);
    return await task();
  } finally {
    await markCgroup(node, cgroup, undefined, namespaces);
  }
}

/** Makes a cgroup below this process's own, so that what is set there holds for the command too. */
async function createCgroup(mount: string): Promise<Cgroup> {
  const path = join(mount, await cgroupOfProcess(String(process.pid)), `podrate-run-${process.pid}`);
  await mkdir(path).catch((error: NodeJS.ErrnoException) => {
    const advice = 'podrate run needs root, and must see the cgroup that it is in itself';
    throw new CommandError('cli/no-cgroup', `${path} cannot be made (${error.code}): ${advice}`, { cause: error });
  });
  const id = await inode(path);
  if (id === undefined) throw new CommandError('cli/no-cgroup', `${path} vanished`);
  return { id, path };
}

async function runIn(cgroup: Cgroup, [file = '', ...args]: readonly string[]): Promise<number> {
  // The process moves itself before it becomes the command, so not one packet is sent outside.
  const script = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
  const child = spawn('sh', ['-c', script, cgroup.path, file, ...args], { stdio: 'inherit' });
  // The terminal tells the command of Ctrl-C itself; this process stays to clean up.
  const ignore = () => {};
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  const handlers = [
    ['SIGINT', ignore],
    ['SIGQUIT', ignore],
    ['SIGTERM', pass],
    ['SIGHUP', pass],
  ] as const;
  for (const [signal, handler] of handlers) process.on(signal, handler);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
    });
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}
