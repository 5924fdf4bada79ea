import { inode } from '../../nodeagent/cgroup/tree.ts';
import { handleOf, wholeNamespace } from '../../nodeagent/dscp/plan.ts';
import type { Node } from '../../nodeagent/open-node.ts';
import { isManual } from '../../nodeagent/pods/owner.ts';
import type { Counters } from '../../nodeagent/shaper/layout.ts';
import { formatDscp } from '../../rate/dscp.ts';
import { formatRate, isRate } from '../../rate/rate.ts';
import type { Limited, Listed } from '../limit/listed.ts';
import { marksOf } from '../limit/mark.ts';
import { formatTable } from '../table.ts';

/** Lists everything that is limited on this machine. */
export async function listLimits(node: Node): Promise<Limited[]> {
  node.shaper.install();
  const slots = node.shaper.observe();
  const cgroups = await node.cgroups.find(new Set(slots.map((slot) => slot.cgroupId)));
  const counters = node.shaper.counters(slots);
  return slots.map(({ owner, cgroupId, slot, isMapped, config }, index) => ({
    owner,
    slot,
    cgroup: cgroups.get(cgroupId)?.path ?? null,
    inForce: isMapped && !config.release,
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

/**
 * Writes a list for people.
 * @param isMore whether another version of podrate has left limits, which this one cannot read
 */
export function formatList(listed: readonly Listed[], isMore = false): string {
  const more = 'Another version of podrate limits cgroups too; podrate attach, detach or uninstall takes them over.';
  if (listed.length === 0) return isMore ? more : 'Nothing is limited on this machine.';
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
  return isMore ? `${formatTable(rows)}\n${more}` : formatTable(rows);
}
