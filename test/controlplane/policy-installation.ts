import type { Cluster } from '../cluster/cluster.ts';
import { accountKubeconfig } from './installation.ts';
import { type HostWebhook, installWebhook } from './webhook.ts';

/** Installs the webhook with the rights of its shipped role, and lets the API server trust it for validation too. */
export async function installPolicyWebhook(cluster: Cluster): Promise<HostWebhook> {
  // The account exists once the manifests are applied, which installWebhook does before it starts the process.
  const path = `${cluster.dir}/accounts/podrate-webhook.kubeconfig`;
  const spawn: Cluster['spawn'] = (file, args, options) =>
    cluster.spawn(file, args, { ...options, env: { PODRATE_KUBECONFIG: path } } as unknown as typeof options);
  await cluster.kubectl(['apply', '-f', 'manifests/namespace.yaml', '-f', 'manifests/webhook.yaml']);
  await accountKubeconfig(cluster, 'podrate-webhook');
  const webhook = await installWebhook({ ...cluster, spawn });
  await trustForValidation(cluster);
  return webhook;
}

async function trustForValidation(cluster: Cluster): Promise<void> {
  const read = [
    'get',
    'mutatingwebhookconfiguration',
    'podrate',
    '-o',
    'jsonpath={.webhooks[0].clientConfig.caBundle}',
  ];
  const caBundle = (await cluster.kubectl(read)).stdout;
  const names = ['get', 'validatingwebhookconfiguration', 'podrate', '-o', 'jsonpath={.webhooks[*].name}'];
  const webhooks = (await cluster.kubectl(names)).stdout
    .split(' ')
    .map((name) => ({ name, clientConfig: { caBundle } }));
  await cluster.kubectl(['patch', 'validatingwebhookconfiguration', 'podrate', '-p', JSON.stringify({ webhooks })]);
}
