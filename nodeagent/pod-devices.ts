/** Finds the host's ends of the devices by which network namespaces are connected. Runs ip. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

/** The host's end of a pair of virtual Ethernet devices. */
export interface HostDevice {
  readonly name: string;
  /** In bytes. */
  readonly mtu: number;
}

/** One device as ip prints it, as far as it matters here. */
export interface Link {
  readonly ifindex: number;
  readonly ifname: string;
  readonly mtu: number;
  /** Index of the other end, in its own namespace. */
  readonly link_index?: number;
  readonly addr_info?: readonly { readonly local?: string; readonly scope?: string }[];
}

/** ip could not be run. */
export class IpError extends Error {
  override readonly name = 'IpError';
  readonly code = 'ip/failed';
}

/** Reads the devices of a network namespace, with their addresses. @param namespace its file @throws IpError */
export async function linksIn(namespace: string): Promise<readonly Link[]> {
  return ip('nsenter', [`--net=${namespace}`, 'ip', '-json', 'address', 'show']);
}

/** Reads the virtual Ethernet devices of a namespace. @param namespace its file; undefined: this process's own @throws IpError */
export async function hostLinks(namespace?: string): Promise<readonly Link[]> {
  const args = ['-json', 'link', 'show', 'type', 'veth'];
  return namespace === undefined ? ip('ip', args) : ip('nsenter', [`--net=${namespace}`, 'ip', ...args]);
}

/** The host's end of a device. Each must name the other: an index alone means something else in every namespace. */
export function hostEndOf(link: Link, host: readonly Link[]): HostDevice | undefined {
  const end = host.find(({ ifindex, link_index }) => ifindex === link.link_index && link_index === link.ifindex);
  return end && { name: end.ifname, mtu: Math.min(end.mtu, link.mtu) };
}

/** Finds pods' devices by the pods' addresses. */
export interface PodDevices {
  /** @returns devices by address; of an address that no namespace has, undefined @throws IpError */
  find(addresses: ReadonlySet<string>): Promise<Map<string, HostDevice | undefined>>;
}

/**
 * Builds it. A namespace is looked into once: a pod keeps its addresses.
 * @param directory where the namespaces' files are
 * @param host file of the namespace where the host's ends are; undefined: this process's own
 */
export function createPodDevices(directory: string, host?: string): PodDevices {
  const known = new Map<string, readonly Link[]>();
  return {
    async find(addresses) {
      const present = new Set<string>();
      for (const name of await readdir(directory).catch(() => [])) {
        const file = join(directory, name);
        const { ino } = await stat(file, { bigint: true }).catch(() => ({ ino: undefined }));
        if (ino === undefined) continue;
        const key = `${ino} ${file}`;
        present.add(key);
        if (known.has(key)) continue;
        // One that vanishes meanwhile, or that holds no network, is of no pod.
        const links = await linksIn(file).catch(() => []);
        if (links.some((link) => addressesOf(link).length > 0)) known.set(key, links);
      }
      for (const key of known.keys()) if (!present.has(key)) known.delete(key);
      const ends = await hostLinks(host);
      const all = [...known.values()].flat();
      return new Map(
        [...addresses].map((address) => {
          const link = all.find((one) => addressesOf(one).includes(address));
          return [address, link && hostEndOf(link, ends)];
        }),
      );
    },
  };
}

function addressesOf({ addr_info = [] }: Link): string[] {
  return addr_info.flatMap(({ local, scope }) => (scope === 'global' && local !== undefined ? [local] : []));
}

async function ip(file: string, args: readonly string[]): Promise<readonly Link[]> {
  const { stdout, stderr, shortMessage, code, failed } = await execa(file, args, {
    reject: false,
    env: { LC_ALL: 'C' },
  });
  if (!failed) return JSON.parse(stdout || '[]') as Link[];
  if (code === 'ENOENT') throw new IpError('ip is not installed: apt-get install iproute2');
  throw new IpError(`${[file, ...args].join(' ')}: ${stderr.trim() || shortMessage}`);
}
