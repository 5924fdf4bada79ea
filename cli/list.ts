import { inode } from '../nodeagent/cgroups.ts';
import type { Counters } from '../nodeagent/layout.ts';
import { handleOf, wholeNamespace } from '../nodeagent/mark-plan.ts';
import type { Node } from '../nodeagent/node.ts';
import { isManual } from '../nodeagent/owner.ts';
import { formatDscp } from '../rate/dscp.ts';
import { formatRate, isRate } from '../rate/rate.ts';
import { marksOf } from './mark.ts';
import { formatTable } from './table.ts';

/** A limited cgroup. */
export interface Limited {
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
  /** Whether what it receives goes through a queue; if not, a limit of it is policed. */
  readonly ingressQueue: boolean;
  readonly counters: Counters;
}

/** A limited or marked cgroup. */
export interface Listed extends Limited {
  /** The code point that its packets are marked with, as far as its processes tell where to look; null without mark. */
  readonly dscp: number | null;
}

/** Lists everything that is limited on this machine. */
export async function listLimits(node: Node): Promise<Limited[]> {
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

/** The same, with marks: it takes a look into each network namespace. */
export async function list(node: Node): Promise<Listed[]> {
  const limits = await listLimits(node);
  const marks = await marksOf(node, limits, async ({ owner, cgroup }) => {
    const id = cgroup === null ? undefined : await inode(cgroup);
    return id !== undefined && isManual({ owner }) ? handleOf(id) : wholeNamespace;
  });
  return limits.map((limit) => ({ ...limit, dscp: marks.get(limit) ?? null }));
}

/** Writes a list for people. */
export function formatList(listed: readonly Listed[]): string {
  if (listed.length === 0) return 'Nothing is limited on this machine.';
  const rate = (bytes: number | null) => (bytes === null ? '-' : isRate(bytes) ? formatRate(bytes) : String(bytes));
  const how = ({ ingressBytesPerSecond, ingressQueue }: Listed) =>
    ingressBytesPerSecond === null ? '-' : ingressQueue ? 'queued' : 'policed';
  const dropped = ({ egress, ingress }: Counters) => `${egress.dropped.packets}/${ingress.dropped.packets}`;
  const passed = ({ egress, ingress }: Counters) => `${egress.passed.bytes}/${ingress.passed.bytes}`;
  const rows = [
    ['OWNER', 'EGRESS', 'INGRESS', 'RECEIVING', 'DSCP', 'PASSED BYTES', 'DROPPED PACKETS', 'CGROUP'],
    ...listed.map((entry) => [
      entry.owner,
      rate(entry.egressBytesPerSecond),
      rate(entry.ingressBytesPerSecond),
      how(entry),
      entry.dscp === null ? '-' : formatDscp(entry.dscp),
      passed(entry.counters),
      dropped(entry.counters),
      `${entry.cgroup ?? '(gone)'}${entry.inForce ? '' : ' (not in force)'}`,
    ]),
  ];
  return formatTable(rows);
}
