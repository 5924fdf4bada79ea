/** The update of a pod that has admission write its stamp, and the event about a pod that stays without. */
import { createHash } from 'node:crypto';
import type { KubeConfig } from '@kubernetes/client-node';
import { ApiFailure } from '../../kube/api-failure.ts';
import { callApi } from '../../kube/call.ts';
import { createEvent } from '../../kube/event.ts';
import type { ObjectMeta } from '../../kube/list.ts';
import { shapedLabel, wantedValue } from '../../rate/keys.ts';
import type { Candidate } from './candidates.ts';

/** The outcome of the update. */
export type RestampOutcome =
  /** Changed: the pod is another version by now, or gone. */
  | { readonly outcome: 'stamped' | 'changed' }
  /**
   * Unanswered: the update changed nothing, because admission was not asked or could not be. Failed: the API server did
   * not comply for a reason that is not the pod's.
   */
  | { readonly outcome: 'unanswered' | 'refused' | 'failed'; readonly reason: string };

// Longer than the API server waits for both webhooks.
const updateTimeoutMs = 25_000;
const eventTimeoutMs = 5_000;
const accept = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';

/**
 * Asks for the right stamp by an update of the version that was seen, about which the API server asks admission as
 * about any other. So one place decides, a quota counts, and of several replicas the first one changes the version.
 */
export async function restamp(kubeConfig: KubeConfig, candidate: Candidate): Promise<RestampOutcome> {
  const { metadata: pod, malformed, isWrong } = candidate;
  if (malformed !== undefined) return { outcome: 'refused', reason: malformed };
  const { namespace = '', name = '', uid, resourceVersion } = pod;
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
  const body = { metadata: { uid, resourceVersion, labels: { [shapedLabel]: wantedValue } } };
  try {
    const updated = await callApi<{ metadata: ObjectMeta }>(kubeConfig, {
      method: 'PATCH',
      path,
      body,
      type: 'application/merge-patch+json',
      accept,
      what: `update pod ${namespace}/${name}`,
      timeoutMs: updateTimeoutMs,
      except: [404, 409],
    });
    if (updated === undefined) return { outcome: 'changed' };
    if (!isWrong(updated.metadata)) return { outcome: 'stamped' };
    return { outcome: 'unanswered', reason: 'the update did not get to podrate, or did not change the stamp' };
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    const isOfPod = [400, 403, 413, 422].includes(error.status ?? 0);
    return { outcome: isOfPod ? 'refused' : 'failed', reason: error.message };
  }
}

/**
 * Writes an event about a pod that has no stamp. The same reason makes the same event, whichever replica writes it.
 * @throws ApiFailure
 */
export async function reportUnstamped(kubeConfig: KubeConfig, pod: ObjectMeta, reason: string): Promise<void> {
  const { namespace = '', name = '', uid = '' } = pod;
  const note = `the pod has no limit, or another one than its labels and its namespace ask for: ${reason}`.slice(
    0,
    1_000,
  );
  const hash = createHash('sha256').update(`${uid} ${note}`).digest('hex').slice(0, 16);
  const event = {
    metadata: { name: `${name.slice(0, 200)}.podrate-${hash}` },
    regarding: { kind: 'Pod', namespace, name, uid },
    type: 'Warning',
    reason: 'RateMissing',
    note,
    action: 'Stamp',
    reportingController: 'podrate.dev/webhook',
    reportingInstance: 'podrate-webhook',
  } as const;
  await createEvent(kubeConfig, event, Date.now(), {
    what: `write an event about pod ${namespace}/${name}`,
    timeoutMs: eventTimeoutMs,
    // The namespace may be ending, or the event may be there.
    except: [403, 404, 409],
  });
}
