import process from 'node:process';
import { vi } from 'vitest';
import type { Cluster } from '../../cluster/cluster.ts';
import { jsonLines } from '../../webhook/json-lines.ts';
import { accountKubeconfig, readPage } from './installation.ts';

/** The agent as a process on the host, with the rights of the shipped service account on one node. */
export interface HostAgent {
  /** Starts the process. Options come after those that every agent of the test has. */
  start(...options: string[]): Promise<void>;
  /** Waits until it is ready. */
  ready(): Promise<void>;
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  page(path: string): Promise<string>;
  /** Runs it with --uninstall and gives what it wrote. */
  uninstall(): Promise<string>;
  /** Its log lines since its first start. */
  readonly lines: Record<string, unknown>[];
}

/** Builds the agent of a node. Nothing is started yet. */
export function hostAgent(
  cluster: Cluster,
  {
    node,
    root,
    pinDir,
    netnsDir,
  }: { readonly node: string; readonly root: string; readonly pinDir: string; readonly netnsDir?: string },
): HostAgent {
  const port = 8081;
  const netns = netnsDir === undefined ? [] : ['--netns-dir', netnsDir];
  const shaper = ['--cgroup-root', root, '--release-cgroup', root, '--pin-dir', pinDir, ...netns];
  const lines: Record<string, unknown>[] = [];
  const spawn = (kubeconfig: string, options: readonly string[]) =>
    cluster.spawn(
      process.execPath,
      [
        'nodeagent/main.ts',
        '--node-name',
        node,
        '--port',
        String(port),
        '--address',
        '0.0.0.0',
        '--resync-seconds',
        '10',
        ...shaper,
        ...options,
      ],
      { env: { KUBECONFIG: kubeconfig }, reject: false, buffer: false },
    );
  let child: ReturnType<typeof spawn> | undefined;
  const page = (path: string) => readPage(cluster, `http://${cluster.hostAddress}:${port}${path}`);

  return {
    lines,
    page,
    async start(...options) {
      child = spawn(await accountKubeconfig(cluster, 'podrate-agent', { node }), options);
      jsonLines(child.stdout, lines);
      child.stderr.pipe(process.stderr);
    },
    async ready() {
      await vi.waitFor(() => page('/readyz'), { timeout: 60_000, interval: 200 });
    },
    async kill(signal) {
      child?.kill(signal);
      await child;
    },
    async uninstall() {
      const args = ['nodeagent/main.ts', '--uninstall', '--node-name', node, ...shaper];
      const env = { KUBECONFIG: await accountKubeconfig(cluster, 'podrate-agent', { node }) };
      return (await cluster.spawn(process.execPath, args, { env })).stdout;
    },
  };
}
