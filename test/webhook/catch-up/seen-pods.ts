import type { SeenPod } from '../../../webhook/catch-up/seen-pod.ts';
import { pod } from '../pods.ts';

type Strings = Record<string, string>;

/** A pod as a watch tells it, without a stamp. */
export function seenPod(uid: string, version: number, labels: Strings = { rate: '1M' }, annotations = {}): SeenPod {
  const resourceVersion = String(version);
  const metadata = { name: uid, uid, resourceVersion, labels, annotations };
  return { namespace: 'team', name: uid, uid, resourceVersion, pod: pod(metadata) };
}

/** The same with the stamp for its label. */
export function stamped(uid: string, version: number): SeenPod {
  const annotations = { 'podrate.dev/limit': '{"egress":1000000,"ingress":1000000}' };
  return seenPod(uid, version, { rate: '1M', 'podrate.dev/shaped': 'true' }, annotations);
}
