/** The API server's part of a late stamp: an update of the pod that has admission decide about it. */
import { ApiException, CoreV1Api, type KubeConfig, PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { apiFailure } from '../../kube/api-failure.ts';
import { requestOptions } from '../../kube/request-options.ts';
import { type LabelKeys, shapedLabel } from '../../rate/keys.ts';
import { metadataOnly } from '../pod-metadata.ts';
import { hasRateLabel } from '../rate-labels.ts';
import { type SeenPod, seenPod } from './seen-pod.ts';
import { lacksStamp } from './stamp-check.ts';

/** What became of the update. */
export type StampOutcome =
  /** Admission stamped the pod. */
  | { readonly outcome: 'stamped' }
  /** The update did not stamp the pod: podrate was not asked, or could not be. */
  | { readonly outcome: 'unanswered' }
  /** The pod is another version by now, or not there any more. */
  | { readonly outcome: 'changed' | 'gone' }
  | { readonly outcome: 'refused'; readonly reason: string };

/** Has a pod stamped. @throws if the API server did not do as it was asked for a reason that is not the pod's */
export type StampPod = (pod: SeenPod) => Promise<StampOutcome>;

// Longer than the API server waits for both webhooks.
const timeoutMs = 15_000;

/** The value of the stamp's label that asks for a stamp. Agents, and admission, take it for no stamp. */
export const wantedValue = 'wanted';

/**
 * Builds the update: a merge patch with nothing in it but the version that was seen, and for a pod without a rate label, about which
 * admission would not be asked, the request for a stamp. The API server asks admission about it as about
 * any other update, so the stamp is decided, and the quota asked, in one place; without an answer from admission nothing is written;
 * and of several replicas the first one changes the version, so that the others get a conflict.
 */
export function stampByUpdate(kubeConfig: KubeConfig, keys: LabelKeys): StampPod {
  const api = kubeConfig.makeApiClient(CoreV1Api);
  return async ({ namespace, name, uid, resourceVersion, pod }) => {
    const options = setHeaderOptions(
      'Content-Type',
      PatchStrategy.MergePatch,
      requestOptions(timeoutMs, { Accept: metadataOnly('PartialObjectMetadata') }),
    );
    const what = `update pod ${namespace}/${name}`;
    try {
      const request = hasRateLabel(pod, keys) ? {} : { labels: { [shapedLabel]: wantedValue } };
      const body = { metadata: { uid, resourceVersion, ...request } };
      const { metadata } = await api.patchNamespacedPod({ namespace, name, body }, options);
      // Not by the version: another webhook may have changed something.
      return { outcome: lacksStamp(seenPod(metadata ?? {}).pod, keys) ? 'unanswered' : 'stamped' };
    } catch (error) {
      const code = error instanceof ApiException ? error.code : undefined;
      if (code === 404) return { outcome: 'gone' };
      if (code === 409) return { outcome: 'changed' };
      const failure = apiFailure(what, error);
      // What admission says no with: podrate's, or anybody's.
      if (code === 400 || code === 403 || code === 422) return { outcome: 'refused', reason: failure.message };
      throw failure;
    }
  };
}
