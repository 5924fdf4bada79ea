import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { kubeconfig } from './certificates.ts';
import { type CommandContext, runCommand } from './command.ts';
import { network, nodeNetwork } from './network.ts';

/** Who puts the pods' cgroups where: systemd's slices, or plain directories made by kubelet and runc. */
export type CgroupDriver = 'systemd' | 'cgroupfs';

/** One node's part of a run. */
export interface SettingsOptions {
  /** Counted from 1. */
  index: number;
  /** Directory of createCertificates. */
  certificates: string;
  /** Directory of the run. */
  directory: string;
  cgroupDriver: CgroupDriver;
}

/** Where the settings and the token of node-exec lie on the host. */
export interface Settings {
  archive: string;
  tokenFile: string;
}

/** Writes what differs from node to node and from run to run as a tar file that the node unpacks over its root. */
export async function writeSettings(options: SettingsOptions, context: CommandContext): Promise<Settings> {
  const node = nodeNetwork(options.index);
  const tree = join(options.directory, `settings-${node.name}`);
  const put = async (path: string, text: string) => {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), text, { mode: 0o600 });
  };
  const token = randomBytes(24).toString('hex');
  const server = `https://${network.host}:6443`;
  await put('etc/hostname', `${node.name}\n`);
  await put('etc/machine-id', `${randomBytes(16).toString('hex')}\n`);
  await put('etc/hosts', `127.0.0.1 localhost\n${node.address} ${node.name}\n`);
  await put('etc/resolv.conf', '');
  await put('etc/node-exec.token', token);
  await put('etc/node-network.sh', networkScript(options.index));
  await put('etc/kubernetes/node.env', environment(options.index));
  await put('etc/kubernetes/kubelet.yaml', JSON.stringify(kubelet(options.cgroupDriver)));
  await put('etc/kubernetes/kubelet.kubeconfig', kubeconfig('/etc/kubernetes', 'kubelet', server));
  await put('etc/kubernetes/kube-proxy.kubeconfig', kubeconfig('/etc/kubernetes', 'kube-proxy', server));
  await put('etc/cni/net.d/10-pods.conflist', JSON.stringify(podNetwork(options.index)));
  await put('etc/containerd/config.toml', containerd(options.cgroupDriver));
  await mkdir(join(tree, 'etc/kubernetes/manifests'));
  for (const [from, to] of certificateFiles(node.name)) {
    await copyFile(join(options.certificates, from), join(tree, 'etc/kubernetes', to));
  }
  const archive = `${tree}.tar`;
  await runCommand(context, 'tar', ['--owner=0', '--group=0', '-cf', archive, '-C', tree, 'etc']);
  return { archive, tokenFile: join(tree, 'etc/node-exec.token') };
}

const certificateFiles = (name: string): [string, string][] => [
  ['ca.crt', 'ca.crt'],
  ...['crt', 'key'].flatMap((ending): [string, string][] => [
    [`kubelet-${name}.${ending}`, `kubelet.${ending}`],
    [`kubelet-server-${name}.${ending}`, `kubelet-server.${ending}`],
    [`kube-proxy.${ending}`, `kube-proxy.${ending}`],
  ]),
];

// Run by the initramfs with busybox: the node has no network manager.
function networkScript(index: number): string {
  const { address, address6 } = nodeNetwork(index);
  return `busybox ip link set lo up
busybox ip link set eth0 up
busybox ip address add ${address}/24 dev eth0
busybox ip -6 address add ${address6}/64 dev eth0
busybox ip route add default via ${network.host}
busybox ip -6 route add default via ${network.host6}
`;
}

function environment(index: number): string {
  const { name, address } = nodeNetwork(index);
  return `NODE_NAME=${name}\nNODE_IP=${address}\nPOD_NETWORKS=${network.pods}\n`;
}

function kubelet(cgroupDriver: CgroupDriver): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cgroupDriver,
    failSwapOn: false,
    staticPodPath: '/etc/kubernetes/manifests',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: '/etc/kubernetes/ca.crt' },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: '/etc/kubernetes/kubelet-server.crt',
    tlsPrivateKeyFile: '/etc/kubernetes/kubelet-server.key',
    // There is no cluster DNS and no way out; pods get no name server.
    resolvConf: '',
    // Nothing is evicted here, so nothing needs to be measured for it. On emulated processors that takes a tenth of
    // one.
    evictionHard: {},
    localStorageCapacityIsolation: false,
    volumeStatsAggPeriod: '-1s',
    // The images cannot be pulled again.
    imageGCHighThresholdPercent: 100,
    // Emulated processors are slow: more than the usual number of starts at once only makes each of them late.
    registryPullQPS: 0,
    nodeStatusUpdateFrequency: '5s',
  };
}

function podNetwork(index: number): object {
  const { pods, pods6 } = nodeNetwork(index);
  return {
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        isDefaultGateway: true,
        hairpinMode: true,
        ipam: { type: 'host-local', ranges: [[{ subnet: pods }], [{ subnet: pods6 }]] },
      },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ],
  };
}

function containerd(cgroupDriver: CgroupDriver): string {
  return `version = 3
disabled_plugins = ['io.containerd.nri.v1.nri']
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'localhost/pause:1'
# Since 2.3 containerd asks each container's shim for its statistics once a second, which with twenty pods keeps emulated
# processors busy with nothing else; only 'kubectl top' needs them.
[plugins.'io.containerd.cri.v1.runtime']
  stats_collect_period = '1h'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = '/usr/sbin/runc'
  SystemdCgroup = ${cgroupDriver === 'systemd'}
`;
}
