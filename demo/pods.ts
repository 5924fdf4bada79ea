import { defaultLabelKey, limitedCondition, stampAnnotation } from '../rate/keys.ts';
import { parseRate } from '../rate/rate.ts';
import type { Cluster } from '../test/cluster/cluster.ts';

/** What the demo shows of one pod. */
export interface DemoPod {
  readonly name: string;
  readonly uid: string;
  readonly address: string;
  /** The rate label as the API server stores it. */
  readonly label: string;
  readonly limitBytesPerSecond: number;
  /** The webhook's annotation, verbatim. */
  readonly stamp: string;
  /** Status and message of the agent's condition, e.g. `True: …`. */
  readonly condition: string;
}

interface PodObject {
  metadata: { name: string; uid: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  status: { podIP?: string; conditions?: { type: string; status: string; message?: string }[] };
}

/** Reads one limited pod through kubectl. */
export async function readPod(cluster: Cluster, name: string): Promise<DemoPod> {
  const { stdout } = await cluster.kubectl(['get', 'pod', name, '-o', 'json']);
  const { metadata, status }: PodObject = JSON.parse(stdout);
  const label = metadata.labels?.[defaultLabelKey] ?? '';
  const limited = status.conditions?.find(({ type }) => type === limitedCondition);
  return {
    name,
    uid: metadata.uid,
    address: status.podIP ?? '',
    label,
    limitBytesPerSecond: parseRate(label),
    stamp: metadata.annotations?.[stampAnnotation] ?? 'none',
    condition: limited ? `${limited.status}: ${limited.message ?? ''}` : 'none',
  };
}
