/** What the pod's condition `podrate.dev/Limited` says. */
import { formatDscp } from '../rate/dscp.ts';
import { formatRate, isRate } from '../rate/rate.ts';
import { isSandbox } from '../rate/sandbox.ts';
import type { LimitedCondition } from './api/limited-condition.ts';
import type { MarkState } from './dscp/controller.ts';
import { configOfLimit, type ShapedPod } from './pods/desired.ts';
import type { PodResult } from './reconcile/reconcile.ts';
import type { DirectionConfig, SlotConfig } from './shaper/layout.ts';

/**
 * The condition that a pass found, told from what was read back from the kernel. Undefined while it is too early to say.
 * @param mark what is known about the pod's mark
 * @param noQueue why the pod does not have the queue that it should have, with the remedy
 */
export function conditionOf(result: PodResult, mark?: MarkState, noQueue?: string): LimitedCondition | undefined {
  switch (result.state) {
    case 'in-force':
      if (isSandbox(result.pod.runtimeClass)) return failed('Sandboxed', sandboxed(result.pod));
      return inForce(result.pod, result.slot.config, mark, noQueue);
    case 'no-limit':
      return inForce(result.pod, configOfLimit({}), mark);
    case 'invalid-stamp':
      return failed('InvalidStamp', `The limit cannot be read: ${result.reason.message}`);
    case 'failed':
      return failed('AttachFailed', `The limit is not in force: ${result.reason.message}`);
    case 'no-slot':
      return failed('NoFreeSlot', 'The limit is not in force: all 1023 slots of the node are taken.');
    case 'no-process':
      if (isSandbox(result.pod.runtimeClass)) return failed('Sandboxed', sandboxed(result.pod));
      return failed(
        'NoProcess',
        'The limit holds nothing: the pod runs, but none of its processes is in its cgroup. ' +
          "The kubelet's and the container runtime's cgroup drivers must be the same.",
      );
    case 'no-cgroup':
      if (!result.pod.running) return undefined;
      return failed(
        'NoCgroup',
        'The limit is not in force: the pod runs, but the node has no cgroup v2 directory for it. ' +
          'The kubelet must have cgroupsPerQOS on, and the agent must see its cgroup root (--cgroup-root).',
      );
  }
}

function sandboxed({ runtimeClass }: ShapedPod): string {
  return (
    `The limit does not hold: runtime class ${runtimeClass} runs the pod in a sandbox, whose traffic no cgroup of the ` +
    'node sees. Run it with another runtime class.'
  );
}

// Limit and mark must be as the stamp says: a pod that is limited and not marked is told what it lacks. The limit holds without a queue.
function inForce(
  { limit }: ShapedPod,
  config: SlotConfig,
  mark: MarkState | undefined,
  noQueue?: string,
): LimitedCondition | undefined {
  const wanted = limit instanceof Error ? undefined : limit.dscp;
  const parts = [describe(config)];
  if (wanted !== undefined) {
    if (mark === undefined || mark.dscp !== wanted) return undefined;
    if (mark.problem !== undefined) {
      const lacks = `Its packets do not carry the code point ${formatDscp(wanted)}: ${mark.problem}.`;
      return failed('NotMarked', `${describe(config)} ${lacks}`);
    }
    parts.push(describeMark(wanted));
  }
  if (noQueue !== undefined) parts.push(`Receiving is policed, not queued: ${noQueue}.`);
  return { status: 'True', reason: 'InForce', message: cut(parts.join(' ')) };
}

/** Says how packets are marked, such as `Its packets carry the code point 46 (EF).` */
export function describeMark(dscp: number): string {
  return `Its packets carry the code point ${formatDscp(dscp)}.`;
}

/** Says what a slot's config limits, such as `The pod sends at most 1M (1000000 bytes/s) and receives without limit.` */
export function describe(config: SlotConfig): string {
  return `The pod sends ${amount(config.egress)} and receives ${amount(config.ingress)}.`;
}

function amount({ rate }: DirectionConfig): string {
  if (rate === 0) return 'without limit';
  return isRate(rate) ? `at most ${formatRate(rate)} (${rate} bytes/s)` : `at most ${rate} bytes/s`;
}

function failed(reason: LimitedCondition['reason'], message: string): LimitedCondition {
  return { status: 'False', reason, message: cut(message) };
}

// The API server refuses notes of events that are longer than 1,024 bytes; a character takes up to four of them.
function cut(message: string): string {
  const bytes = Buffer.from(message);
  if (bytes.length <= 1024) return message;
  return `${new TextDecoder().decode(bytes.subarray(0, 1015)).replace(/\ufffd+$/, '')}…`;
}
