import type { ShapedPod } from '../../nodeagent/pods/desired.ts';
import type { Limit } from '../../rate/limit.ts';
import { parseRate } from '../../rate/rate.ts';

/** A pod that asks for a limit. */
export function podOf(uid: string, rate: string | { egress?: string; ingress?: string } = '1M'): ShapedPod {
  const rates = typeof rate === 'string' ? { egress: rate, ingress: rate } : rate;
  const limit: Limit = {
    ...(rates.egress !== undefined && { egress: parseRate(rates.egress) }),
    ...(rates.ingress !== undefined && { ingress: parseRate(rates.ingress) }),
  };
  const name = `pod-${uid.slice(-4)}`;
  return {
    ...{ namespace: 'default', name, uid, cgroupUid: uid, running: true, terminating: false, limit },
    ...{ hasProcess: false, runtimeClass: undefined },
    ...{ condition: undefined, network: { isHost: false, addresses: [] }, queued: false },
  };
}

/** The uid of the pod with a number. */
export function uidOf(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}
