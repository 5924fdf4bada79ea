/**
 * Creates pods with a rate all at once, with the rights of $KUBECONFIG, and prints what became of them as JSON. Arguments: the
 * namespace, how many.
 */

import process from 'node:process';
import { ApiException, KubeConfig } from '@kubernetes/client-node';
import { createObject } from '../../kube/objects.ts';
import { withSharedConnections } from '../../kube/shared-connections.ts';

/** What the program prints: how many pods were created, and refused with which message. */
export interface CreatesOutcome {
  readonly created: number;
  readonly refused: Readonly<Record<string, number>>;
}

const [namespace = '', count = ''] = process.argv.slice(2);
const timeoutMs = 60_000;
const plain = new KubeConfig();
plain.loadFromDefault();
const kubeConfig = withSharedConnections(plain, () => performance.now());

async function create(index: number): Promise<string | undefined> {
  const pod = {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name: `web-${index}`, labels: { rate: '1M' } } },
    spec: { schedulerName: 'none', automountServiceAccountToken: false, containers: [{ name: 'web', image: 'web' }] },
  };
  try {
    await createObject(kubeConfig, `/api/v1/namespaces/${namespace}/pods`, pod, timeoutMs);
    return undefined;
  } catch (error) {
    if (!(error instanceof ApiException)) throw error;
    return messageOf(error.body).replace(`"web-${index}"`, '');
  }
}

/** An API server that has too much to do answers in plain text. */
function messageOf(body: string): string {
  return body.startsWith('{') ? JSON.parse(body).message : body;
}

const messages = await Promise.all(Array.from({ length: Number(count) }, (_, index) => create(index)));
const refused: Record<string, number> = {};
for (const message of messages) if (message !== undefined) refused[message] = (refused[message] ?? 0) + 1;
const outcome: CreatesOutcome = { created: messages.filter((message) => message === undefined).length, refused };
console.log(JSON.stringify(outcome));
