import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandContext, runCommand } from '../process/command.ts';
import { network, nodeNetwork } from '../run/network.ts';

/** Who a certificate is for. */
interface Identity {
  /** File name without ending. */
  file: string;
  /** User name, as Kubernetes reads it from the common name. */
  user: string;
  /** Group, as Kubernetes reads it from the organisation. */
  group?: string;
  /** Subject alternative names of a server, in openssl's notation. */
  names?: string[];
}

/** A client certificate with a kubeconfig, by its file name without ending. */
export type Client = 'admin' | 'controller-manager' | 'scheduler' | 'kube-proxy' | `kubelet-${string}`;

/**
 * Makes the cluster's certificate authority, service account key, certificates and kubeconfigs in `directory`: `ca.crt`,
 * `service-accounts.key`, `apiserver.crt`, `<client>.kubeconfig` and so on. Elliptic curve keys: made in milliseconds.
 */
export async function createCertificates(directory: string, nodes: number, context: CommandContext): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const openssl = (args: string[]) => runCommand(context, 'openssl', args, { cwd: directory });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'];
  const subject = ['-subj', '/CN=podrate-test-cluster'];
  await openssl([
    'req',
    '-x509',
    ...newKey,
    ...subject,
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    ...extension('basicConstraints=critical,CA:TRUE'),
    ...extension('keyUsage=critical,keyCertSign,cRLSign'),
  ]);
  await openssl(['ecparam', '-genkey', '-name', 'prime256v1', '-noout', '-out', 'service-accounts.key']);
  const all = identities(nodes);
  await Promise.all(
    all.map(({ file, user, group, names }) => {
      const name = `/CN=${user}${group === undefined ? '' : `/O=${group}`}`;
      const usage = names === undefined ? 'clientAuth' : 'serverAuth,clientAuth';
      return openssl([
        ...['req', '-x509', ...newKey, '-subj', name, '-CA', 'ca.crt', '-CAkey', 'ca.key'],
        ...['-keyout', `${file}.key`, '-out', `${file}.crt`],
        ...extension('basicConstraints=critical,CA:FALSE'),
        ...extension(`extendedKeyUsage=${usage}`),
        ...(names === undefined ? [] : extension(`subjectAltName=${names.join(',')}`)),
      ]);
    }),
  );
  const server = `https://${network.host}:6443`;
  for (const { file, names } of all) {
    if (names === undefined)
      await writeFile(join(directory, `${file}.kubeconfig`), kubeconfig(directory, file, server));
  }
}

const extension = (text: string) => ['-addext', text];

function identities(nodes: number): Identity[] {
  const all: Identity[] = [
    {
      file: 'apiserver',
      user: 'kube-apiserver',
      names: [
        ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost'].map((name) => `DNS:${name}`),
        ...[network.host, network.kubernetesService, '127.0.0.1'].map((address) => `IP:${address}`),
      ],
    },
    { file: 'apiserver-kubelet-client', user: 'kube-apiserver', group: 'system:masters' },
    { file: 'admin', user: 'admin', group: 'system:masters' },
    { file: 'controller-manager', user: 'system:kube-controller-manager' },
    { file: 'scheduler', user: 'system:kube-scheduler' },
    { file: 'kube-proxy', user: 'system:kube-proxy' },
  ];
  for (let index = 1; index <= nodes; index += 1) {
    const { name, address } = nodeNetwork(index);
    all.push({ file: `kubelet-${name}`, user: `system:node:${name}`, group: 'system:nodes' });
    all.push({ file: `kubelet-server-${name}`, user: name, names: [`DNS:${name}`, `IP:${address}`] });
  }
  return all;
}

/** A kubeconfig whose files lie in `directory`, wherever that is for the program that reads it. */
export function kubeconfig(directory: string, file: string, server: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': join(directory, 'ca.crt') } }],
    users: [
      {
        name: file,
        user: {
          'client-certificate': join(directory, `${file}.crt`),
          'client-key': join(directory, `${file}.key`),
        },
      },
    ],
    contexts: [{ name: 'test', context: { cluster: 'test', user: file } }],
    'current-context': 'test',
  });
}
