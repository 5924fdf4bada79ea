import { execa } from 'execa';

/** One "pod": a network namespace with eth0, joined to the others by veth and a bridge. */
export interface PodNetwork {
  /** For nsenter --net. */
  netnsPath: string;
  ipv4: string;
  ipv6: string;
  /** The other end of eth0, a port of the bridge in the namespace `hubNetnsPath`. */
  hubPort: string;
  hubNetnsPath: string;
}

const netnsPath = (name: string) => `/var/run/netns/${name}`;

/**
 * Makes one namespace for each name and a hub namespace with the bridge, as a CNI bridge plugin does. The namespaces are
 * called `<prefix>-<name>` and `<prefix>-hub`. clsact with a filter that matches everything makes the kernel count
 * segments and their bytes on the way out of each device (see meter.ts).
 */
export async function createNetwork(prefix: string, names: string[]): Promise<Record<string, PodNetwork>> {
  const hub = `${prefix}-hub`;
  const pods: Record<string, PodNetwork> = {};
  const commands = [`netns add ${hub}`];
  names.forEach((name, index) => {
    const netns = `${prefix}-${name}`;
    pods[name] = {
      netnsPath: netnsPath(netns),
      ipv4: `10.77.0.${index + 1}`,
      ipv6: `fd77::${index + 1}`,
      hubPort: `port-${name}`,
      hubNetnsPath: netnsPath(hub),
    };
    commands.push(`netns add ${netns}`);
  });
  await ip(commands);
  await ip(['link add br0 type bridge', 'link set br0 up'], hub);
  for (const [name, pod] of Object.entries(pods)) {
    const netns = `${prefix}-${name}`;
    const port = pod.hubPort;
    await ip([`link add ${port} type veth peer name eth0 netns ${netns}`, `link set ${port} master br0 up`], hub);
    await ip(
      [
        'link set lo up',
        `address add ${pod.ipv4}/24 dev eth0`,
        `address add ${pod.ipv6}/64 dev eth0 nodad`,
        'link set eth0 up',
      ],
      netns,
    );
    await countEverything(netns, 'eth0');
    await countEverything(hub, port);
  }
  return pods;
}

/** Removes the namespaces of `prefix`, also those that a killed run has left; nothing there is no error. */
export async function removeNetwork(prefix: string): Promise<void> {
  const { stdout } = await execa('ip', ['netns', 'list']);
  for (const line of stdout.split('\n')) {
    const name = line.split(' ')[0] ?? '';
    if (name.startsWith(`${prefix}-`)) await execa('ip', ['netns', 'delete', name]);
  }
}

/**
 * Sets the congestion control of connections that the pod opens from now on. By route, because a namespace may not make
 * an algorithm its default unless the machine's own namespace allows it to everybody.
 */
export async function setCongestionControl(pod: PodNetwork, name: string): Promise<void> {
  const routes = [
    `route replace 10.77.0.0/24 dev eth0 src ${pod.ipv4} congctl ${name}`,
    `route replace fd77::/64 dev eth0 metric 256 congctl ${name}`,
  ];
  await execa('nsenter', [`--net=${pod.netnsPath}`, 'ip', '-batch', '-'], { input: `${routes.join('\n')}\n` });
}

async function ip(commands: string[], netns?: string): Promise<void> {
  const where = netns === undefined ? [] : ['-netns', netns];
  await execa('ip', [...where, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

async function countEverything(netns: string, device: string): Promise<void> {
  await execa('tc', ['-netns', netns, '-batch', '-'], {
    input: [
      `qdisc add dev ${device} clsact`,
      `filter add dev ${device} egress protocol all u32 match u32 0 0 classid 1:1`,
      '',
    ].join('\n'),
  });
}
