import { setTimeout as sleep } from 'node:timers/promises';
import { limitedCondition, stampAnnotation } from '../rate/keys.ts';
import type { Cluster } from '../test/cluster/cluster.ts';
import { type DemoPod, readPod } from './pods.ts';
import type { Say } from './step.ts';
import type { Peer } from './traffic/traffic.ts';

/** The example pods whose rates the demo measures. */
const LIMITED_PODS = ['rate-1m', 'rate-5m', 'rate-10m'];

/** Slow machines pull, start and probe slowly; what takes longer is broken. */
const PATIENCE = '--timeout=1500s';

/** Applies the shipped manifests as they are, and waits until webhook and agent are ready, and a pod would get its stamp. */
export async function installPodrate(cluster: Cluster, say: Say): Promise<void> {
  say('kubectl apply -k manifests');
  await cluster.kubectl(['apply', '-k', manifests('')]);
  for (const workload of ['deployment/podrate-webhook', 'daemonset/podrate-agent']) {
    say(`${workload} gets ready`);
    await cluster.kubectl(['-n', 'podrate-system', 'rollout', 'status', workload, PATIENCE]);
  }
  say('the webhook answers the API server');
  await answered(cluster);
}

// Its first answers may take longer than the API server waits on a slow machine, and the API server may hear late of its certificate.
async function answered(cluster: Cluster): Promise<void> {
  const pod = ['run', 'probe', '--image=probe', '--labels=rate=1M', '--dry-run=server', '-o', 'json'];
  for (let tries = 0; tries < 60; tries += 1) {
    const { stdout } = await cluster.kubectl(pod, { reject: false });
    if (stdout.includes(stampAnnotation)) return;
    await sleep(1_000);
  }
  throw new Error('A pod with a rate label does not get its stamp: see the logs of deployment/podrate-webhook.');
}

/** Applies the shipped examples, and waits until they run and their limits are in force. */
export async function startExamples(cluster: Cluster, say: Say): Promise<{ pods: DemoPod[]; peer: Peer }> {
  say('kubectl apply -k manifests/examples');
  await cluster.kubectl(['apply', '-k', manifests('examples')]);
  await cluster.kubectl(['wait', 'pod', '--all', '--for=condition=Ready', PATIENCE]);
  const names = LIMITED_PODS.map((name) => `pod/${name}`);
  say('the pods run; their limits come into force');
  await cluster.kubectl(['wait', ...names, `--for=condition=${limitedCondition}`, PATIENCE]);
  const pods = await Promise.all(LIMITED_PODS.map((name) => readPod(cluster, name)));
  return { pods, peer: await readPeer(cluster, 'peer') };
}

/**
 * Asks for a rate that is none, and returns what kubectl says.
 *
 * @throws Error when the API server accepts it.
 */
export async function provokeRefusal(cluster: Cluster, pod: string, label: string): Promise<string> {
  const refusal = await cluster
    .kubectl(['label', 'pod', pod, '--overwrite', `rate=${label}`])
    .then(() => undefined)
    .catch((error: { stderr?: string }) => error.stderr ?? String(error));
  if (refusal === undefined) throw new Error(`The API server accepted the label rate=${label}; it should not have.`);
  return refusal.trim();
}

async function readPeer(cluster: Cluster, name: string): Promise<Peer> {
  const { stdout } = await cluster.kubectl(['get', 'pod', name, '-o', 'jsonpath={.status.podIP}']);
  return { name, address: stdout.trim() };
}

function manifests(folder: string): string {
  return new URL(`../manifests/${folder}`, import.meta.url).pathname;
}
