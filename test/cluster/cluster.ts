import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Cache } from './build/cache.ts';
import { defaultCache } from './build/config.ts';
import { buildControlPlane, buildNode, type ImageSource, type NodeParts } from './build.ts';
import { type ClusterNode, type Kubectl, openCluster, type Spawn } from './control-plane/access.ts';
import { createCertificates } from './control-plane/certificates.ts';
import { type ControlPlane, startControlPlane } from './control-plane/control-plane.ts';
import { type CgroupDriver, writeSettings } from './control-plane/settings.ts';
import type { KernelVersion } from './machine/kernel.ts';
import { startNode, waitForNode } from './machine/node.ts';
import { ClusterError } from './process/error.ts';
import type { OnProgress } from './process/progress.ts';
import { createNetwork, network, nodeNetwork } from './run/network.ts';
import { beginRun, type Run } from './run/run.ts';
import type { ClusterAccess, NodeAccess } from './run/state.ts';
import { type Step, trackSteps } from './run/steps.ts';

/** What cluster to start. */
export interface ClusterOptions {
  /** `0`: control plane only, up in seconds. `1`: with a real node. */
  nodes: 0 | 1;
  /** Images that the node has from the start; the product's and busybox if not given. */
  images?: readonly ImageSource[];
  /** Linux version of the node; 6.1 if not given. */
  kernel?: KernelVersion;
  /** The node's cgroup driver; systemd if not given. */
  cgroupDriver?: CgroupDriver;
  /** The API server records who writes pods, for auditedRequests. */
  audit?: boolean;
  /** Switches of the API server, by the names of its `--feature-gates`. */
  featureGates?: Readonly<Record<string, boolean>>;
  /** Priority classes that pods may have only in namespaces with a ResourceQuota for the class; none if not given. */
  limitedPriorityClasses?: readonly string[];
  /** The cluster outlives this process; `npm run cluster -- stop` ends it. */
  keep?: boolean;
  /** Told about every step; quiet if not given. */
  onProgress?: OnProgress;
  /** Ends a start half-way and, later, the cluster. */
  signal?: AbortSignal;
  /** Where what is built is kept; the user's cache directory if not given. */
  cache?: Cache;
}

/** A running cluster. */
export interface Cluster {
  /** Works inside the cluster's network namespace only: use `kubectl`, or `spawn` for other programs. */
  kubeconfig: string;
  /** Directory of this run, removed by `stop`. */
  dir: string;
  /** Directory with the logs of all programs; it stays until the next start. */
  logs: string;
  /** The address of host processes started with `spawn`, as the API server and pods reach it. */
  hostAddress: string;
  kubectl: Kubectl;
  spawn: Spawn;
  nodes: ClusterNode[];
  controlPlane: ControlPlane;
  /** From now on the cluster outlives this process. */
  keep(): Promise<void>;
  /** Ends every process of the cluster and removes its network and its directory. May be called again. */
  stop(): Promise<void>;
}

/**
 * Builds what is not in the cache, and starts a Kubernetes cluster on this machine. If that fails or is cancelled, nothing is
 * left running. One at a time; throws a ClusterError if there is one already.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const run = await beginRun();
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  const { cache = defaultCache() } = options;
  const logs = join(cache.root, 'logs');
  const logOf = (name: string) => join(logs, `${name}.log`);
  const steps = trackSteps(options.onProgress ?? (() => {}), logOf, signal);
  try {
    await rm(logs, { recursive: true, force: true });
    await mkdir(logs, { recursive: true });
    const cluster = await start({ run, cache, logs, logOf, step: steps.step, signal }, options);
    if (options.keep) await run.keep();
    options.signal?.addEventListener('abort', () => void cluster.stop().catch(() => {}));
    return cluster;
  } catch (cause) {
    // The steps beside the failed one must have ended before what they use is removed.
    failed.abort();
    await steps.settled();
    await run.end();
    throw options.signal?.aborted
      ? new ClusterError('cluster/cancelled', 'the start was cancelled.', { cause })
      : cause;
  }
}

interface Start {
  run: Run;
  cache: Cache;
  logs: string;
  logOf: (name: string) => string;
  step: Step;
  signal: AbortSignal;
}

// Everything starts as soon as what it needs is there: on a cold cache the control plane before the node's disks are built, on a
// warm one the node boots while the control plane starts.
async function start(context: Start, options: ClusterOptions): Promise<Cluster> {
  const { run, cache, step, logs } = context;
  const certificates = join(run.state.directory, 'certificates');
  const programs = buildControlPlane(cache, step);
  const disks = options.nodes === 0 ? undefined : buildNode(cache, step, programs, options);
  const prepared = programs.then(() =>
    step('network', 'network and certificates', async (commands) => {
      await createNetwork(options.nodes, commands);
      await createCertificates(certificates, options.nodes, commands);
    }),
  );
  const controlPlane = Promise.all([programs, prepared]).then(([parts]) =>
    step('control plane', 'control plane', (_, report) =>
      startControlPlane(
        {
          ...context,
          ...parts,
          certificates,
          audit: options.audit ?? false,
          featureGates: options.featureGates ?? {},
          limitedPriorityClasses: options.limitedPriorityClasses ?? [],
        },
        report,
      ),
    ),
  );
  const access = programs.then(
    (parts): ClusterAccess => ({
      kubeconfig: join(certificates, 'admin.kubeconfig'),
      kubectl: join(parts.programs, 'kubectl'),
      nodes: [],
    }),
  );
  const node =
    disks && Promise.all([disks, access, prepared]).then(([parts, paths]) => bringUp(context, options, parts, paths));
  const [paths, plane, nodeAccess] = await Promise.all([access, controlPlane, node]);
  const complete = { ...paths, nodes: nodeAccess === undefined ? [] : [nodeAccess] };
  await run.ready(complete);
  return {
    ...openCluster(complete),
    kubeconfig: complete.kubeconfig,
    dir: run.state.directory,
    logs,
    hostAddress: network.host,
    controlPlane: plane,
    keep: run.keep,
    stop: run.end,
  };
}

async function bringUp(
  { run, step, logOf, signal }: Start,
  { cgroupDriver = 'systemd' }: ClusterOptions,
  parts: NodeParts,
  paths: ClusterAccess,
): Promise<NodeAccess> {
  const index = 1;
  const { name, address } = nodeNetwork(index);
  const { directory } = run.state;
  return step(name, 'machine starts', async (commands, report) => {
    const certificates = dirname(paths.kubeconfig);
    const settings = await writeSettings({ index, certificates, directory, cgroupDriver }, commands);
    const machine = await startNode({ index, run, ...parts, settings: settings.archive, logOf });
    report('Linux boots, kubelet joins');
    const { kubectl } = openCluster(paths);
    const query = ['get', 'node', name, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'];
    const isReady = async () => (await kubectl(query, { reject: false, timeout: 5000 })).stdout === 'True';
    await waitForNode({ index, logOf }, machine, isReady, signal);
    report('node is ready');
    return { name, address, tokenFile: settings.tokenFile, client: join(parts.native, 'node-exec-client') };
  });
}
