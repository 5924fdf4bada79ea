/**
 * Creates pods of $KUBECONFIG's cluster, all at once: reads an array of manifests as JSON from its input, and writes the array of their
 * answers.
 */
import process from 'node:process';
import { json } from 'node:stream/consumers';
import { ApiException, CoreV1Api, KubeConfig, type V1Pod } from '@kubernetes/client-node';

/** What became of a pod. */
export interface CreateAnswer {
  /** The HTTP status; 201 if it was created. */
  readonly code: number;
  /** What the API server said if it was not: a Status object, or plain text where it has too much to do. */
  readonly body?: string;
}

const kubeConfig = new KubeConfig();
kubeConfig.loadFromFile(process.env.KUBECONFIG ?? '');
const api = kubeConfig.makeApiClient(CoreV1Api);
const pods = (await json(process.stdin)) as V1Pod[];
const answers = await Promise.all(
  pods.map(async (body): Promise<CreateAnswer> => {
    try {
      await api.createNamespacedPod({ namespace: body.metadata?.namespace ?? '', body });
      return { code: 201 };
    } catch (error) {
      if (error instanceof ApiException) return { code: error.code, body: String(error.body) };
      throw error;
    }
  }),
);
console.log(JSON.stringify(answers));
