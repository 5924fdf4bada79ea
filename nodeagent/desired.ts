/** What the pods of this node ask for. */
import type { V1Pod, V1PodCondition } from '@kubernetes/client-node';
import { limitedCondition } from '../rate/keys.ts';
import type { Limit } from '../rate/limit.ts';
import { StampError, stampedLimit } from '../rate/stamp.ts';

/** A pod that the webhook marked as limited, as far as the agent cares. */
export interface ShapedPod {
  readonly namespace: string;
  readonly name: string;
  /** The API object's uid. */
  readonly uid: string;
  /** The uid in the name of its cgroup; another one for static pods. */
  readonly cgroupUid: string;
  /** Whether its containers run, so that a cgroup must be there. */
  readonly running: boolean;
  /** Whether it is about to end. */
  readonly terminating: boolean;
  /** Its addresses, as soon as it has some. */
  readonly addresses: readonly string[];
  /** Whether a queue of the ingress rate is in front of it. */
  readonly queued: boolean;
  /** The condition `podrate.dev/Limited`, as the API server has it. */
  readonly condition: V1PodCondition | undefined;
  /** The limit, or why there is none that can be trusted. */
  readonly limit: Limit | StampError;
}

/** What a kubelet writes on the API's image of a static pod: the cgroup is named after the hash. */
const mirrorAnnotation = 'kubernetes.io/config.mirror';
const hashAnnotation = 'kubernetes.io/config.hash';
const staticPodHash = /^[0-9a-f]{32}$/;

/** Picks the pods that are marked as limited and have not ended. The stamp is read again and never trusted. */
export function shapedPods(pods: Iterable<V1Pod>): ShapedPod[] {
  const shaped: ShapedPod[] = [];
  for (const { metadata, spec, status } of pods) {
    const { namespace, name, uid, annotations } = metadata ?? {};
    if (namespace === undefined || name === undefined || uid === undefined) continue;
    if (status?.phase === 'Succeeded' || status?.phase === 'Failed') continue;
    const limit = limitOf(metadata ?? {});
    if (limit === undefined) continue;
    const hash = annotations?.[mirrorAnnotation] ?? annotations?.[hashAnnotation];
    // Anyone can write annotations: only the hash of a static pod that its kubelet owns up to counts, never the uid of another pod.
    const isStatic = metadata?.ownerReferences?.some(
      ({ kind, name: owner }) => kind === 'Node' && owner === spec?.nodeName,
    );
    const cgroupUid = isStatic && hash !== undefined && staticPodHash.test(hash) ? hash : uid;
    shaped.push({
      ...{ namespace, name, uid, cgroupUid, limit },
      running: status?.phase === 'Running',
      addresses: status?.podIPs?.flatMap(({ ip }) => ip ?? []) ?? [],
      queued: false,
      terminating: metadata?.deletionTimestamp !== undefined,
      condition: status?.conditions?.find(({ type }) => type === limitedCondition),
    });
  }
  return shaped;
}

function limitOf(metadata: NonNullable<V1Pod['metadata']>): Limit | StampError | undefined {
  try {
    return stampedLimit(metadata);
  } catch (error) {
    if (error instanceof StampError) return error;
    throw error;
  }
}
