import process from 'node:process';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import type { CreateAnswer } from './harness/create-pods-program.ts';
import { accountKubeconfig } from './harness/installation.ts';
import { namespace, pod } from './harness/policy-objects.ts';
import { type HostWebhook, installWebhook } from './harness/webhook.ts';

// The level of service accounts that are not of the cluster's own namespace.
const level = 'workload-low';
const quota = 3;

let cluster: Cluster;
let webhook: HostWebhook;
/** Has the rights of a service account that may create pods. */
let deployer: string;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  webhook = await installWebhook(cluster);
  await kubectl('create', 'serviceaccount', 'deployer');
  await kubectl('create', 'clusterrolebinding', 'deployer', '--clusterrole=edit', '--serviceaccount=default:deployer');
  deployer = await accountKubeconfig(cluster, 'deployer', { namespace: 'default' });
  await leaveFewSeats();
});

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

const kubectl = async (...args: string[]) => (await cluster.kubectl(args)).stdout;

/** Gives the level of service accounts as many seats as a much smaller number of creates takes. */
async function leaveFewSeats(): Promise<void> {
  const annotations = { 'apf.kubernetes.io/autoupdate-spec': 'false' };
  const limited = { nominalConcurrencyShares: 1, lendablePercent: 0, borrowingLimitPercent: 0 };
  const patch = JSON.stringify({ metadata: { annotations }, spec: { limited } });
  await kubectl('patch', 'prioritylevelconfiguration', level, '--type=merge', '-p', patch);
  const seats = `apiserver_flowcontrol_current_limit_seats{priority_level="${level}"}`;
  await vi.waitFor(
    async () => {
      const line = (await kubectl('get', '--raw', '/metrics')).split('\n').find((each) => each.startsWith(seats));
      expect(Number(line?.split(' ').at(-1))).toBeLessThanOrEqual(5);
    },
    { timeout: 30_000, interval: 500 },
  );
}

/** Creates pods of 1 MB/s in a new namespace with the quota. */
async function createAtOnce(name: string, count: number): Promise<CreateAnswer[]> {
  const labels = namespace(name, { mode: 'enforce', quota: `${quota}M` });
  await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(labels) });
  await kubectl('wait', '--for=create', 'serviceaccount/default', '-n', name, '--timeout=30s');
  const pods = Array.from({ length: count }, (_, index) => pod(name, `web-${index}`, { rate: '1M' }));
  const { stdout } = await cluster.spawn(process.execPath, ['test/controlplane/harness/create-pods-program.ts'], {
    input: JSON.stringify(pods),
    env: { KUBECONFIG: deployer },
  });
  return JSON.parse(stdout);
}

const created = (answers: readonly CreateAnswer[]) => answers.filter(({ code }) => code === 201).length;

test('a quota holds exactly while creates hold all the seats that service accounts have', async () => {
  const answers = await createAtOnce('with-level', 40);
  expect(created(answers)).toBe(quota);
  const refusals = answers.filter(({ code }) => code === 403);
  expect(refusals).toHaveLength(40 - quota);
  // All in the same words.
  const words = refusals.map(({ body }) => JSON.parse(body ?? '').message.replace(/"web-\d+"/, ''));
  expect([...new Set(words)]).toEqual([expect.stringContaining('exceeded quota')]);
});

test('without the flow schema the webhook waits behind the creates that wait for it, and not all are decided', async () => {
  await kubectl('delete', 'flowschema', 'podrate-webhook');
  const answers = await createAtOnce('without-level', 12);
  expect(created(answers)).toBeLessThanOrEqual(quota);
  expect(answers.filter(({ code }) => code === 500).length).toBeGreaterThan(0);
});
