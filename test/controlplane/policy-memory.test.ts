import process from 'node:process';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { podrateNamespace } from './installation.ts';
import type { PolicyChangesOutcome } from './policy-changes-program.ts';
import { type HostWebhook, installReplicas } from './webhook.ts';

let cluster: Cluster;
let replicas: HostWebhook[];

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  // A namespace is remembered again three seconds after its last change, not ninety.
  replicas = await installReplicas(cluster, 2, '--request-timeout', '2');
});

afterAll(async () => {
  await Promise.all(replicas?.map((replica) => replica.stop()) ?? []);
  await cluster?.stop();
});

const reads = async ({ page }: HostWebhook, from: string) => {
  const found = new RegExp(`^podrate_namespace_reads_total\\{from="${from}"\\} (\\d+)$`, 'm').exec(
    await page('/metrics'),
  );
  return Number(found?.[1] ?? 0);
};

test('a hundred times a policy is changed that two replicas remember, and the next pods see the new one, whichever replica they meet', async () => {
  const args = ['test/controlplane/policy-changes-program.ts', '20', '5', '4500'];
  const { stdout } = await cluster.spawn(process.execPath, args, { env: { KUBECONFIG: cluster.kubeconfig } });
  const outcome: PolicyChangesOutcome = JSON.parse(stdout);
  expect(outcome).toEqual({ changes: 100, stale: [] });
  // Else nothing would have been shown.
  for (const replica of replicas) {
    expect(await reads(replica, 'memory')).toBeGreaterThan(100);
    expect(await reads(replica, 'api')).toBeGreaterThan(100);
  }
  const { stdout: record } = await cluster.kubectl([
    'get',
    'configmap',
    'podrate-policy-changes',
    '-n',
    podrateNamespace,
    '-o',
    'jsonpath={.data.serial}',
  ]);
  // The third change of each takes a policy away that the second one gave; there are as many changes as that.
  expect(Number(record)).toBe(100);
});

test('a change of a policy is announced also where the record was deleted, one that is only tried is not, and a spoilt record is said to be', async () => {
  const name = 'tried';
  await cluster.kubectl(['create', 'namespace', name]);
  const label = (...more: string[]) => cluster.kubectl(['label', 'namespace', name, '--overwrite', ...more]);
  const get = ['get', 'configmap', 'podrate-policy-changes', '-n', podrateNamespace, '-o', 'jsonpath={.data}'];
  await cluster.kubectl(['delete', 'configmap', 'podrate-policy-changes', '-n', podrateNamespace]);
  await label('podrate.dev/mode=enforce', '--dry-run=server');
  expect((await cluster.kubectl(get, { reject: false })).stderr).toContain('not found');
  await label('podrate.dev/mode=enforce');
  await label('team=shop');
  expect(JSON.parse((await cluster.kubectl(get)).stdout)).toEqual({ serial: '1', recent: name });

  const spoilt = JSON.stringify({ data: { serial: 'many' } });
  await cluster.kubectl(['patch', 'configmap', 'podrate-policy-changes', '-n', podrateNamespace, '-p', spoilt]);
  // By failurePolicy it is written all the same.
  await label('podrate.dev/max=1M');
  const advice = 'ConfigMap podrate-policy-changes is not as podrate writes it: delete it, and it is made anew';
  await vi.waitFor(
    () => {
      const told = replicas.flatMap(({ lines }) => lines).filter((line) => JSON.stringify(line).includes(advice));
      expect(told).not.toEqual([]);
    },
    { timeout: 10_000 },
  );
  await cluster.kubectl(['delete', 'configmap', 'podrate-policy-changes', '-n', podrateNamespace]);
  await label('podrate.dev/max=2M');
  expect(JSON.parse((await cluster.kubectl(get)).stdout)).toEqual({ serial: '1', recent: name });
});
