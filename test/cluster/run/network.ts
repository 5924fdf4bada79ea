import { type CommandContext, runCommand } from '../process/command.ts';

/** Addresses of the private network. Nothing of it exists outside of the cluster's network namespace. */
export const network = {
  namespace: 'podrate-cluster',
  bridge: 'br0',
  /** The control plane's address, and that of host processes that run inside the namespace. */
  host: '10.77.0.1',
  host6: 'fd00:77::1',
  services: '10.96.0.0/16',
  /** The first of `services`: the API server's ClusterIP. */
  kubernetesService: '10.96.0.1',
  /** All nodes' pods. */
  pods: '10.78.0.0/16',
} as const;

/** Addresses of one node, counted from 1. */
export function nodeNetwork(index: number) {
  return {
    name: `node${index}`,
    tap: `tap${index}`,
    address: `10.77.0.${10 + index}`,
    address6: `fd00:77::${10 + index}`,
    mac: `52:54:00:00:00:${String(10 + index)}`,
    pods: `10.78.${index}.0/24`,
    pods6: `fd00:78:${index}::/64`,
  };
}

/**
 * The command that runs `file` inside the cluster's network namespace, and only there: unlike `ip netns exec`, nsenter leaves
 * the mounts alone, so that the cgroup and BPF file systems are still under /sys.
 */
export function insideNamespace(file: string, args: readonly string[]): [string, string[]] {
  return ['nsenter', [`--net=/run/netns/${network.namespace}`, '--', file, ...args]];
}

/** Makes the namespace with a bridge, and a tap and routes to its pods for every node. */
export async function createNetwork(nodes: number, context: CommandContext): Promise<void> {
  const { namespace, bridge, host, host6, services } = network;
  await runCommand(context, 'ip', ['netns', 'add', namespace]);
  const commands = [
    'link set lo up',
    `link add ${bridge} type bridge`,
    `address add ${host}/24 dev ${bridge}`,
    `-6 address add ${host6}/64 dev ${bridge} nodad`,
    `link set ${bridge} up`,
  ];
  for (let index = 1; index <= nodes; index += 1) {
    const node = nodeNetwork(index);
    commands.push(
      `tuntap add ${node.tap} mode tap`,
      `link set ${node.tap} master ${bridge} up`,
      `route add ${node.pods} via ${node.address}`,
      `-6 route add ${node.pods6} via ${node.address6}`,
    );
  }
  // The first node's kube-proxy makes the Services reachable for host processes too.
  if (nodes > 0) commands.push(`route add ${services} via ${nodeNetwork(1).address}`);
  for (const command of commands) {
    await runCommand(context, 'ip', ['-n', namespace, ...command.split(' ')]);
  }
}
