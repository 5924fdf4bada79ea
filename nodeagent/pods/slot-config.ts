/** Limits as the shaper takes them. */
import type { Limit } from '../../rate/limit.ts';
import type { DirectionConfig, SlotConfig } from '../shaper/layout.ts';
import type { ShapedPod } from './desired.ts';

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
