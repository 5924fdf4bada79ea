/**
 * Creates pods of $KUBECONFIG's cluster, all at once: reads an array of manifests as JSON from its input, and writes an array of the
 * HTTP status of each.
 */
import process from 'node:process';
import { json } from 'node:stream/consumers';
import { ApiException, CoreV1Api, KubeConfig, type V1Pod } from '@kubernetes/client-node';

const kubeConfig = new KubeConfig();
kubeConfig.loadFromFile(process.env.KUBECONFIG ?? '');
const api = kubeConfig.makeApiClient(CoreV1Api);
const pods = (await json(process.stdin)) as V1Pod[];
const codes = await Promise.all(
  pods.map(async (body) => {
    try {
      await api.createNamespacedPod({ namespace: body.metadata?.namespace ?? '', body });
      return 201;
    } catch (error) {
      if (error instanceof ApiException) return error.code;
      throw error;
    }
  }),
);
console.log(JSON.stringify(codes));
