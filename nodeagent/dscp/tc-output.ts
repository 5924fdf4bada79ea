/** Reads what iproute2's ip and tc print with `-json`. Pure. */
import { z } from 'zod';

/** The marking program: bpf/dscp.bpf.c. */
export const markProgram = 'podrate_dscp';

/** A network device of a namespace. */
export interface Device {
  readonly name: string;
  readonly isUp: boolean;
  /** Bytes of its link-layer header before the IP header: 14 on Ethernet, 0 on devices of IP packets. */
  readonly linkHeader: number;
  /** IP addresses on it, in the kernel's spelling, those of the link itself left out. */
  readonly addresses: readonly string[];
}

/** A filter with the marking program on the way out of a device. */
export interface Mark {
  readonly device: string;
  /** Tells the filters of a device apart: {@link handleOf}. */
  readonly handle: number;
  /** As tc prints it, such as `8d1f:3ae`: the program's version and what it is to do. */
  readonly classId: string;
}

const links = z.array(
  z.looseObject({
    ifname: z.string(),
    flags: z.array(z.string()),
    link_type: z.string().optional(),
    addr_info: z.array(z.looseObject({ local: z.string().optional(), scope: z.string().optional() })).default([]),
  }),
);
const queues = z.array(z.looseObject({ kind: z.string().optional(), dev: z.string().optional() }));
const filters = z.array(
  z.looseObject({
    options: z
      .looseObject({
        handle: z.string().optional(),
        flowid: z.string().optional(),
        prog: z.looseObject({ name: z.string().optional() }).optional(),
      })
      .optional(),
  }),
);

/** Reads `ip -j address show`: all devices but the loopback. @throws Error if it is something else */
export function readDevices(text: string): Device[] {
  const devices = links.parse(json(text)).filter(({ flags }) => !flags.includes('LOOPBACK'));
  return devices.map(({ ifname, flags, link_type, addr_info }) => ({
    name: ifname,
    isUp: flags.includes('UP'),
    linkHeader: link_type === 'ether' ? 14 : 0,
    addresses: addr_info.flatMap(({ local, scope }) => (local === undefined || scope === 'link' ? [] : [local])),
  }));
}

/** Reads `tc -j qdisc show`: the devices that have a place for filters like ours. @throws Error if it is something else */
export function readPlaces(text: string): Set<string> {
  const places = queues.parse(json(text)).filter(({ kind }) => kind === 'clsact');
  return new Set(places.flatMap(({ dev }) => dev ?? []));
}

/** Reads `tc -j filter show` of one device: how many filters there are, and which are ours. @throws Error if it is something else */
export function readFilters(text: string, device: string): { readonly count: number; readonly marks: Mark[] } {
  const found = filters.parse(json(text));
  const ours = found.flatMap(({ options }) => (options?.prog?.name === markProgram ? [options] : []));
  const marks = ours.map(({ handle, flowid }) => ({ device, handle: Number(handle), classId: flowid ?? '' }));
  return { count: found.length, marks };
}

// Nothing to show is sometimes nothing at all.
function json(text: string): unknown {
  return JSON.parse(text.trim() || '[]');
}
