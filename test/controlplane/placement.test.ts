import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { applyManifests, podrateNamespace } from './harness/installation.ts';

/** Labels of nodes by their names. Nothing stands behind any of them. */
const nodes = {
  linux: { 'kubernetes.io/os': 'linux' },
  'eks-auto': { 'kubernetes.io/os': 'linux', 'eks.amazonaws.com/compute-type': 'auto' },
  windows: { 'kubernetes.io/os': 'windows' },
  fargate: { 'kubernetes.io/os': 'linux', 'eks.amazonaws.com/compute-type': 'fargate' },
  'virtual-kubelet': { 'kubernetes.io/os': 'linux', type: 'virtual-kubelet' },
};

let cluster: Cluster;

beforeAll(async () => {
  const limitedPriorityClasses = ['system-node-critical', 'system-cluster-critical'];
  cluster = await startCluster({ nodes: 0, limitedPriorityClasses });
  const items = Object.entries(nodes).map(([name, labels]) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels },
  }));
  await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  await applyManifests(cluster);
});

afterAll(async () => {
  await cluster?.stop();
});

interface ApiPod {
  readonly spec: {
    readonly affinity?: {
      readonly nodeAffinity?: {
        readonly requiredDuringSchedulingIgnoredDuringExecution?: {
          readonly nodeSelectorTerms: readonly { readonly matchFields?: readonly { readonly values: string[] }[] }[];
        };
      };
    };
  };
}

async function podsOf(component: string): Promise<ApiPod[]> {
  const selector = `app.kubernetes.io/component=${component}`;
  const { stdout } = await cluster.kubectl(['-n', podrateNamespace, 'get', 'pods', '-l', selector, '-o', 'json']);
  return JSON.parse(stdout).items;
}

/** The nodes for which the DaemonSet controller has made a pod, which it names in the pod's affinity. */
async function nodesOfAgents(): Promise<string[]> {
  const terms = (await podsOf('agent')).flatMap(
    ({ spec }) => spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [],
  );
  return terms.flatMap(({ matchFields = [] }) => matchFields.flatMap(({ values }) => values)).toSorted();
}

const patience = { timeout: 60_000, interval: 500 };

test('a namespace without a quota for critical priority classes gets no pod of them', async () => {
  const overrides = JSON.stringify({ spec: { priorityClassName: 'system-node-critical' } });
  const pod = ['run', 'critical', '--image=critical', `--overrides=${overrides}`];
  await vi.waitFor(async () => {
    const { stderr } = await cluster.kubectl(pod, { reject: false });
    expect(stderr).toContain('insufficient quota to match these scopes');
  }, patience);
});

test('agents and webhooks are created in a cluster that binds their priority classes to a quota', async () => {
  await vi.waitFor(async () => {
    expect(await podsOf('webhook')).toHaveLength(2);
    expect(await podsOf('agent')).not.toHaveLength(0);
  }, patience);
});

test('agents are for Linux nodes with a kubelet, so that a rollout ends', async () => {
  await vi.waitFor(async () => expect(await nodesOfAgents()).not.toEqual([]), patience);
  const status = ['-n', podrateNamespace, 'get', 'daemonset', 'podrate-agent', '-o', 'jsonpath={.status}'];
  await vi.waitFor(async () => {
    const { desiredNumberScheduled, currentNumberScheduled } = JSON.parse((await cluster.kubectl(status)).stdout);
    expect([desiredNumberScheduled, currentNumberScheduled]).toEqual([2, 2]);
  }, patience);
  expect(await nodesOfAgents()).toEqual(['eks-auto', 'linux']);
});
