/** Finds the host's ends of the devices by which network namespaces are connected. Runs ip. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runIproute } from './iproute.ts';
import { mountedNamespaces } from './network-namespaces.ts';

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
  /** The other end's namespace, by a number that means something in this one only. */
  readonly link_netnsid?: number;
  readonly addr_info?: readonly { readonly local?: string; readonly scope?: string }[];
}

/** Where ip looks for the names of namespaces. */
const namesDirectory = '/var/run/netns';

/** Reads the devices of a network namespace, with their addresses. @param namespace its file @throws TcError */
export async function linksIn(namespace: string): Promise<readonly Link[]> {
  return ip<Link>(namespace, 'address', 'show');
}

/** The namespace where the host's ends are. */
export interface HostSide {
  readonly links: readonly Link[];
  /** Inodes of other namespaces by their number here, of those that have a name. */
  readonly inodes: ReadonlyMap<number, bigint>;
}

/** Reads the host's side. @param namespace its file; undefined: this process's own @throws TcError */
export async function readHostSide(namespace?: string): Promise<HostSide> {
  const links = await ip<Link>(namespace, 'link', 'show', 'type', 'veth');
  const inodes = new Map<number, bigint>();
  for (const { nsid, name } of await ip<{ nsid: number; name?: string }>(namespace, 'netns', 'list-id')) {
    const ino = name === undefined ? undefined : await inodeOf(join(namesDirectory, name));
    if (ino !== undefined) inodes.set(nsid, ino);
  }
  return { links, inodes };
}

/**
 * The host's end of a device. Each end must name the other, and the host's end the namespace as well where that has a name: an index
 * alone means something else in every namespace.
 * @param inode of the namespace that the device is in
 */
export function hostEndOf(link: Link, inode: bigint, { links, inodes }: HostSide): HostDevice | undefined {
  const end = links.find(({ ifindex, link_index, link_netnsid }) => {
    const other = link_netnsid === undefined ? undefined : inodes.get(link_netnsid);
    return ifindex === link.link_index && link_index === link.ifindex && (other ?? inode) === inode;
  });
  return end && { name: end.ifname, mtu: Math.min(end.mtu, link.mtu) };
}

/** What cannot be found: a network namespace with the pod's address, or the host's end of the device that has the address. */
export type MissingDevice = 'namespace' | 'host-end';

/** Finds pods' devices by the pods' addresses. */
export interface PodDevices {
  /** @returns devices by address @throws TcError */
  find(addresses: ReadonlySet<string>): Promise<Map<string, HostDevice | MissingDevice>>;
}

/**
 * Builds it. A namespace is looked into once: a pod keeps its addresses.
 * @param directory where the namespaces' files are
 * @param host file of the namespace where the host's ends are; undefined: this process's own
 */
export function createPodDevices(directory: string, host?: string): PodDevices {
  const known = new Map<string, { readonly ino: bigint; readonly links: readonly Link[] }>();
  return {
    async find(addresses) {
      const present = new Set<string>();
      for (const { file, id: ino } of await mountedNamespaces(directory)) {
        const key = `${ino} ${file}`;
        present.add(key);
        if (known.has(key)) continue;
        // One that vanishes meanwhile, or that holds no network, is of no pod.
        const links = await linksIn(file).catch(() => []);
        if (links.some((link) => addressesOf(link).length > 0)) known.set(key, { ino, links });
      }
      for (const key of known.keys()) if (!present.has(key)) known.delete(key);
      const side = await readHostSide(host);
      const all = [...known.values()].flatMap(({ ino, links }) => links.map((link) => ({ ino, link })));
      return new Map(
        [...addresses].map((address): [string, HostDevice | MissingDevice] => {
          const found = all.find(({ link }) => addressesOf(link).includes(address));
          if (found === undefined) return [address, 'namespace'];
          return [address, hostEndOf(found.link, found.ino, side) ?? 'host-end'];
        }),
      );
    },
  };
}

/** Of what a file leads to, such as a namespace. */
async function inodeOf(file: string): Promise<bigint | undefined> {
  return stat(file, { bigint: true }).then(
    ({ ino }) => ino,
    () => undefined,
  );
}

function addressesOf({ addr_info = [] }: Link): string[] {
  return addr_info.flatMap(({ local, scope }) => (scope === 'global' && local !== undefined ? [local] : []));
}

async function ip<T>(namespace: string | undefined, ...args: string[]): Promise<readonly T[]> {
  return JSON.parse((await runIproute(namespace, ['ip', '-json', ...args])) || '[]') as T[];
}
