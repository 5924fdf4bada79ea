/**
 * A client of a real API server that changes the policies of namespaces and asks about a pod right after each change, as fast as one
 * can. Arguments: how many namespaces at once, how many changes of each, the time in ms in which the webhook learns a namespace before
 * each change. The cluster is that of $KUBECONFIG. Prints what was seen, as JSON.
 */

import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiException, KubeConfig } from '@kubernetes/client-node';
import { createObject, readObject, replaceObject } from '../../kube/objects.ts';
import { withSharedConnections } from '../../kube/shared-connections.ts';

/** What the program prints. */
export interface PolicyChangesOutcome {
  readonly changes: number;
  /** Answers that were not those of the policy just written. */
  readonly stale: readonly string[];
}

const [count = 0, changes = 0, learnMs = 0] = process.argv.slice(2).map(Number);
const timeoutMs = 30_000;
const plain = new KubeConfig();
plain.loadFromDefault();
const kubeConfig = withSharedConnections(plain, () => performance.now());
const stale: string[] = [];

/** The largest rate that the namespace lets a pod have now, by asking about one; undefined if any. */
async function maximum(namespace: string): Promise<string | undefined> {
  const pod = {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { namespace, generateName: 'web-', labels: { rate: '1G' } } },
    spec: { schedulerName: 'none', automountServiceAccountToken: false, containers: [{ name: 'web', image: 'web' }] },
  };
  try {
    await createObject(kubeConfig, `/api/v1/namespaces/${namespace}/pods?dryRun=All`, pod, timeoutMs);
    return undefined;
  } catch (error) {
    if (!(error instanceof ApiException)) throw error;
    return /maximum rate per Pod is (\w+)/.exec(String(error.body))?.[1] ?? String(error.body);
  }
}

async function setMaximum(namespace: string, max: string | undefined): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}`;
  const object = (await readObject(kubeConfig, path, timeoutMs)) as { metadata: { labels: Record<string, string> } };
  const policy = max === undefined ? {} : { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': max };
  const labels = { 'kubernetes.io/metadata.name': namespace, ...policy };
  await replaceObject(kubeConfig, path, { ...object, metadata: { ...object.metadata, labels } }, timeoutMs);
}

async function changeOften(namespace: string): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  await createObject(kubeConfig, '/api/v1/namespaces', object, timeoutMs);
  // Every third change takes the policy away.
  for (let change = 1; change <= changes; change += 1) {
    for (const until = performance.now() + learnMs; performance.now() < until; ) {
      await maximum(namespace);
      await sleep(100);
    }
    const wanted = change % 3 === 0 ? undefined : `${change}M`;
    await setMaximum(namespace, wanted);
    const seen = await Promise.all(Array.from({ length: 4 }, () => maximum(namespace)));
    for (const max of seen)
      if (max !== wanted) stale.push(`${namespace}, change ${change}: ${max} instead of ${wanted}`);
  }
}

await Promise.all(Array.from({ length: count }, (_, index) => changeOften(`changed-${index}`)));
const outcome: PolicyChangesOutcome = { changes: count * changes, stale };
console.log(JSON.stringify(outcome));
