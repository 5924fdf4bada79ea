import type { Counters } from '../nodeagent/layout.ts';
import type { Node } from '../nodeagent/node.ts';
import { formatRate, isRate } from '../rate/rate.ts';
import { formatTable } from './table.ts';

/** A limited cgroup. */
export interface Listed {
  /** `pod/<uid>` or `manual/<cgroup id>`. */
  readonly owner: string;
  /** Directory of the cgroup; null if it is gone and its slot is about to be given back. */
  readonly cgroup: string | null;
  readonly slot: number;
  readonly generation: string;
  /** False while it is being attached or detached. */
  readonly inForce: boolean;
  /** Bytes per second; null without limit. */
  readonly egressBytesPerSecond: number | null;
  readonly ingressBytesPerSecond: number | null;
  /** Whether a queue is in front of what it receives. */
  readonly ingressQueue: boolean;
  readonly counters: Counters;
}

/** Lists everything that is limited on this machine. */
export async function list(node: Node): Promise<Listed[]> {
  await node.shaper.install();
  const { slots } = await node.shaper.observe(() => []);
  const cgroups = await node.cgroups.find(new Set(slots.map((slot) => slot.cgroupId)));
  const counters = await node.shaper.counters(slots);
  return slots.map(({ owner, cgroupId, slot, generation, marked, config }, index) => ({
    ...{ owner, slot, generation },
    cgroup: cgroups.get(cgroupId)?.path ?? null,
    inForce: marked && !config.release,
    egressBytesPerSecond: config.egress.rate || null,
    ingressBytesPerSecond: config.ingress.rate || null,
    ingressQueue: config.queued,
    counters: counters[index] as Counters,
  }));
}

/** Writes a list for people. */
export function formatList(listed: readonly Listed[]): string {
  if (listed.length === 0) return 'Nothing is limited on this machine.';
  const rate = (bytes: number | null) => (bytes === null ? '-' : isRate(bytes) ? formatRate(bytes) : String(bytes));
  const dropped = ({ egress, ingress }: Counters) => `${egress.dropped.packets}/${ingress.dropped.packets}`;
  const passed = ({ egress, ingress }: Counters) => `${egress.passed.bytes}/${ingress.passed.bytes}`;
  const rows = [
    ['OWNER', 'EGRESS', 'INGRESS', 'PASSED BYTES', 'DROPPED PACKETS', 'CGROUP'],
    ...listed.map((entry) => [
      entry.owner,
      rate(entry.egressBytesPerSecond),
      rate(entry.ingressBytesPerSecond),
      passed(entry.counters),
      dropped(entry.counters),
      `${entry.cgroup ?? '(gone)'}${entry.inForce ? '' : ' (not in force)'}`,
    ]),
  ];
  return formatTable(rows);
}
