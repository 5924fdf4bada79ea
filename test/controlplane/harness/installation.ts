import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import type { Cluster } from '../../cluster/cluster.ts';

/** The namespace of the shipped manifests. */
export const podrateNamespace = 'podrate-system';

/** Applies the shipped manifests as they are. Without nodes their pods stay pending; the tests run the programs on the host. */
export async function applyManifests(cluster: Cluster): Promise<void> {
  await cluster.kubectl(['apply', '-k', new URL('../../../manifests', import.meta.url).pathname]);
}

/** More about a service account. */
export interface AccountOptions {
  /** The name of a Node object that exists; the token then names the node, as that of a pod on the node does. */
  readonly node?: string;
  /** Where the account is; podrate's own namespace if not given. */
  readonly namespace?: string;
}

/**
 * Writes a kubeconfig for a service account, a shipped one if nothing else is said, so that a program on the host has exactly the
 * rights of its pod. The file
 * lies in the cluster's directory; the token lives an hour.
 * @returns its path
 */
export async function accountKubeconfig(
  cluster: Cluster,
  account: string,
  { node, namespace = podrateNamespace }: AccountOptions = {},
): Promise<string> {
  const binding = node === undefined ? [] : ['--bound-object-kind=Node', `--bound-object-name=${node}`];
  const token = await cluster.kubectl(['create', 'token', account, '-n', namespace, '--duration=1h', ...binding]);
  const { stdout } = await cluster.kubectl(['config', 'view', '--raw', '--flatten', '--minify', '-o', 'json']);
  const config = JSON.parse(stdout);
  config.users = [{ name: account, user: { token: token.stdout.trim() } }];
  config.contexts = [{ name: account, context: { cluster: config.clusters[0].name, user: account } }];
  config['current-context'] = account;
  const folder = join(cluster.dir, 'accounts');
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${account}.kubeconfig`);
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}

/** Reads a page from inside the cluster's network; throws if it is not answered with 200. */
export async function readPage(cluster: Cluster, url: string): Promise<string> {
  const script =
    'const r = await fetch(process.argv[1]); if (!r.ok) throw new Error(r.status + await r.text()); console.log(await r.text())';
  const { stdout } = await cluster.spawn(process.execPath, ['--input-type=module', '-e', script, url]);
  return stdout;
}
