/** What the pods of this node ask for. */
import type { V1Pod, V1PodCondition } from '@kubernetes/client-node';
import { limitedCondition } from '../../rate/keys.ts';
import type { Limit } from '../../rate/limit.ts';
import { StampError, type Stamped, stampedLimit } from '../../rate/stamp.ts';
import type { DirectionConfig, SlotConfig } from '../shaper/layout.ts';

/** A pod that the webhook marked with a stamp, as far as the agent cares. */
export interface ShapedPod {
  readonly namespace: string;
  readonly name: string;
  /** The API object's uid. */
  readonly uid: string;
  /** The uid in the name of its cgroup; another one for static pods. */
  readonly cgroupUid: string;
  /** Whether its containers run, so that a cgroup must be there. */
  readonly running: boolean;
  /** Whether one of its containers runs, so that a process must be in its cgroup. */
  readonly hasProcess: boolean;
  /** The name of its runtime class; undefined for the node's usual one. */
  readonly runtimeClass: string | undefined;
  /** Whether it is about to end. */
  readonly terminating: boolean;
  /** Whether its ingress queue is in force; undefined while that is not known. */
  readonly queued: boolean | undefined;
  /** The condition `podrate.dev/Limited`, as the API server has it. */
  readonly condition: V1PodCondition | undefined;
  /** The limit and the code point, or why there are none that can be trusted. */
  readonly limit: Stamped | StampError;
  /** Where its packets are marked, and where a queue may be in front of it. */
  readonly network: {
    /** Whether it is the node's own. */
    readonly isHost: boolean;
    /** The pod's IP addresses; none before its kubelet has told them. */
    readonly addresses: readonly string[];
  };
}

/** What a kubelet writes on the API's image of a static pod: the cgroup is named after the hash. */
const mirrorAnnotation = 'kubernetes.io/config.mirror';
const hashAnnotation = 'kubernetes.io/config.hash';
const staticPodHash = /^[0-9a-f]{32}$/;

/** Picks the pods that are marked with a stamp and have not ended. The stamp is read again and never trusted. */
export function shapedPods(pods: Iterable<V1Pod>): ShapedPod[] {
  const shaped: ShapedPod[] = [];
  for (const { metadata, spec, status } of pods) {
    const { namespace, name, uid, annotations } = metadata ?? {};
    if (namespace === undefined || name === undefined || uid === undefined) continue;
    if (hasEnded(status)) continue;
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
      hasProcess: status?.containerStatuses?.some(({ state }) => state?.running !== undefined) ?? false,
      runtimeClass: spec?.runtimeClassName,
      queued: undefined,
      terminating: metadata?.deletionTimestamp !== undefined,
      condition: conditionOf(status),
      network: { isHost: spec?.hostNetwork === true, addresses: status?.podIPs?.flatMap(({ ip }) => ip ?? []) ?? [] },
    });
  }
  return shaped;
}

/** Reports whether a pod's containers run no more, and will not again. */
export function hasEnded(status: V1Pod['status']): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

/** Identifies a pod and its condition. */
export type PodRef = Pick<ShapedPod, 'namespace' | 'name' | 'uid' | 'condition'>;

/** Returns what identifies a pod that need not be marked with a stamp. */
export function podRef({ metadata, status }: V1Pod): PodRef {
  const { namespace = '', name = '', uid = '' } = metadata ?? {};
  return { namespace, name, uid, condition: conditionOf(status) };
}

function conditionOf(status: V1Pod['status']): V1PodCondition | undefined {
  return status?.conditions?.find(({ type }) => type === limitedCondition);
}

function limitOf(metadata: NonNullable<V1Pod['metadata']>): Stamped | StampError | undefined {
  try {
    return stampedLimit(metadata);
  } catch (error) {
    if (error instanceof StampError) return error;
    throw error;
  }
}

/**
 * The config that puts a limit in force.
 * @param burstMs time of rate that may pass at once; 0 is the shaper's default
 * @param queued whether a queue of the ingress rate is in front
 */
export function configOfLimit(limit: Limit, burstMs = 0, queued = false): SlotConfig {
  const direction = (rate: number | undefined): DirectionConfig => ({
    rate: rate ?? 0,
    burstNs: rate === undefined ? 0 : burstMs * 1_000_000,
  });
  return { egress: direction(limit.egress), ingress: direction(limit.ingress), release: false, queued };
}

/**
 * Returns the config that a pod asks for with its limit.
 * @param current the config in force, whose flag stays while it is not known whether the pod has a queue
 */
export function configOfPod(
  limit: Limit,
  { queued }: Pick<ShapedPod, 'queued'>,
  current: SlotConfig | undefined,
): SlotConfig {
  return configOfLimit(limit, 0, limit.ingress !== undefined && (queued ?? current?.queued ?? false));
}
