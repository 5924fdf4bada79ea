import { podHandle } from '../../nodeagent/ingress-queue/htb.ts';
import { listLinks } from '../../nodeagent/net/links.ts';
import { withNetlink } from '../../nodeagent/net/netlink.ts';
import { listFilters, listQdiscs, root } from '../../nodeagent/net/tc.ts';

/** The queue of podrate's on a device. */
export interface FoundQueue {
  /** What its filter says, in bytes per second. */
  readonly rate: number;
  readonly slot: number;
  readonly programId: number;
}

/** Finds the index of a device. @param namespace undefined: this process's own */
export function indexOf(device: string, namespace?: string): number {
  const links = withNetlink(namespace, (netlink) => listLinks(netlink)) ?? [];
  return links.find(({ name }) => name === device)?.index ?? 0;
}

/** Finds the queue on a device that is whole: its filter is put last. */
export function queueOn(device: string, handle = podHandle, namespace?: string): FoundQueue | undefined {
  const index = indexOf(device, namespace);
  return withNetlink(namespace, (netlink) => {
    const own = listQdiscs(netlink).filter((qdisc) => qdisc.index === index);
    if (!own.some((qdisc) => qdisc.parent === root && qdisc.handle === handle)) return undefined;
    if (own.filter(({ kind }) => kind === 'bfifo').length !== 4) return undefined;
    const [filter] = listFilters(netlink, { index, parent: handle });
    const rate = Number(/^podrate_\d+_rate_(\d+)_/.exec(filter?.name ?? '')?.[1] ?? Number.NaN);
    return filter && { rate, slot: filter.classId - handle, programId: filter.programId };
  });
}
