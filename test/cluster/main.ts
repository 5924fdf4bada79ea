import { parseArgs } from 'node:util';
import { type ClusterOptions, startCluster } from './cluster.ts';
import { openCluster } from './control-plane/access.ts';
import { ClusterError } from './process/error.ts';
import { isRunning } from './process/process.ts';
import type { OnProgress } from './process/progress.ts';
import { cleanUp, runningProcesses } from './run/cleanup.ts';
import { network } from './run/network.ts';
import { type ClusterState, readState } from './run/state.ts';

const HELP = `A real Kubernetes cluster on this machine, built from package registries. Root is needed.

Usage: npm run cluster -- COMMAND

  start [--nodes 0|1] [--kernel 5.10|6.1|6.12] [--cgroup-driver systemd|cgroupfs]
                        build what is missing and start a cluster that stays up
  status                what runs
  kubectl ARGUMENT…     kubectl as cluster administrator
  exec COMMAND          a shell command as root in the node
  run PROGRAM ARGUMENT… a program of this machine in the cluster's network namespace
  stop                  end the cluster, remove what it left, and clean up after one that was killed

  -h, --help            this text
`;

const seconds = () => `${(performance.now() / 1000).toFixed(1).padStart(6)} s`;

/** One line per event, except that a step may tell of its progress once a second only. */
function printer(): OnProgress {
  const last = new Map<string, number>();
  return (step, text, state) => {
    const now = performance.now();
    if (state === 'running' && now - (last.get(step) ?? -1000) < 1000) return;
    last.set(step, now);
    console.log(`${seconds()}  ${state === 'running' ? ' ' : state === 'done' ? '✓' : '✗'} ${step}: ${text}`);
  };
}

async function start(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      nodes: { type: 'string', default: '1' },
      kernel: { type: 'string', default: '6.1' },
      'cgroup-driver': { type: 'string', default: 'systemd' },
    },
  });
  const options = {
    nodes: Number(oneOf('--nodes', values.nodes, ['0', '1'])),
    kernel: oneOf('--kernel', values.kernel, ['5.10', '6.1', '6.12']),
    cgroupDriver: oneOf('--cgroup-driver', values['cgroup-driver'], ['systemd', 'cgroupfs']),
  } as ClusterOptions;
  const interrupt = new AbortController();
  // Not `once`: execa's own listener ends the process when it finds itself the only one.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupt.abort());
  await startCluster({
    ...options,
    keep: true,
    onProgress: printer(),
    signal: interrupt.signal,
  });
  console.log(`${seconds()}  the cluster is up. Now, for example:
  npm run cluster -- kubectl get pods -A
  npm run cluster -- exec 'bpftool cgroup tree /sys/fs/cgroup/kubepods.slice'
  npm run cluster -- stop`);
}

function oneOf(option: string, value: string, values: string[]): string {
  if (!values.includes(value)) throw new Error(`${option} is ${values.join(' or ')}, not ${value}`);
  return value;
}

async function running(): Promise<ClusterState & { access: NonNullable<ClusterState['access']> }> {
  const state = await readState();
  if (state?.access !== undefined && state.processes.some(isRunning)) return { ...state, access: state.access };
  throw new ClusterError('cluster/not-running', 'no cluster is up: start one with `npm run cluster -- start`.');
}

async function status(): Promise<void> {
  const state = await readState();
  if (state === undefined) return console.log('no cluster');
  const living = runningProcesses(state);
  const nodes = state.access?.nodes.map(({ name, address }) => `${name} ${address}`) ?? [];
  console.log(`processes: ${living.join(' ') || 'none'}
started by: process ${state.owner.pid}${isRunning(state.owner) ? '' : ', which has ended'}${state.kept ? '; stays up' : ''}
nodes: ${nodes.join(', ') || 'none'}
network namespace: ${state.namespace}, this machine is ${network.host}
kubeconfig: ${state.access?.kubeconfig ?? 'not ready'}`);
}

async function stop(): Promise<void> {
  const state = await readState();
  if (state === undefined) return console.log('no cluster');
  await cleanUp(state);
  console.log('stopped');
}

/** Runs a program with this process's terminal and ends as it ends. */
async function passThrough(subprocess: PromiseLike<{ exitCode?: number | undefined }>): Promise<void> {
  process.exitCode = (await subprocess).exitCode ?? 1;
}

async function main([command, ...args]: string[]): Promise<void> {
  const inherit = { stdio: 'inherit', reject: false } as const;
  switch (command) {
    case 'start':
      return start(args);
    case 'status':
      return status();
    case 'stop':
      return stop();
    case 'kubectl':
      return passThrough(openCluster((await running()).access).kubectl(args, inherit));
    case 'run':
      return passThrough(openCluster((await running()).access).spawn(args[0] ?? 'sh', args.slice(1), inherit));
    case 'exec': {
      const [node] = openCluster((await running()).access).nodes;
      if (node === undefined)
        throw new ClusterError('cluster/not-running', 'this cluster has no node: start it with `--nodes 1`.');
      return passThrough(node.spawn(args.join(' '), inherit));
    }
    default:
      console.log(HELP);
      if (command !== '--help' && command !== '-h' && command !== 'help') process.exitCode = 2;
  }
}

await main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
