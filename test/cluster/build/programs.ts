import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandContext, runCommand } from '../process/command.ts';
import { ClusterError } from '../process/error.ts';
import type { Report } from '../process/progress.ts';
import { type Cache, cached, sourceOf } from './cache.ts';

const kubernetes = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'kubectl'];
const containerd = ['containerd', 'containerd-shim-runc-v2', 'ctr'];
const networkPlugins = ['main/bridge', 'main/loopback', 'ipam/host-local', 'meta/portmap', 'meta/bandwidth'];

/** The network plugins among the programs, as a node wants them in /opt/cni/bin. */
export const networkPluginNames = networkPlugins.map((path) => path.slice(path.indexOf('/') + 1));

const packages = [
  ...kubernetes.map((name) => `k8s.io/kubernetes/cmd/${name}`),
  ...containerd.map((name) => `github.com/containerd/containerd/v2/cmd/${name}`),
  ...networkPlugins.map((path) => `github.com/containernetworking/plugins/plugins/${path}`),
];

const modules = join(import.meta.dirname, 'modules');

/**
 * Builds Kubernetes, containerd and the network plugins from their Go modules and returns the directory with the programs.
 * Six minutes on two cores when nothing of it was ever built; the versions are those of modules/go.mod.
 */
export async function buildPrograms(cache: Cache, context: CommandContext, report: Report): Promise<string> {
  const goMod = await readFile(join(modules, 'go.mod'), 'utf8');
  const goSum = await readFile(join(modules, 'go.sum'), 'utf8');
  const inputs = [goMod, goSum, await sourceOf(import.meta.url)];
  const { directory, built } = await cached(
    cache,
    'programs',
    inputs,
    async (draft) => {
      const go = goRunner(context);
      await requireGo(go, goMod);
      report('downloading Go modules');
      const all = await go(['list', '-deps', '-f', '{{.ImportPath}}', ...packages]);
      const total = all.split('\n').length;
      let compiled = 0;
      report(`compiling ${total} Go packages`);
      await go(
        ['build', '-v', '-o', `${draft}/`, '-trimpath', '-tags', tags, '-ldflags', linkerFlags(goMod), ...packages],
        {
          onLine: (line) => {
            if (/^[\w.-]+(\/|$)/.test(line)) compiled += 1;
            if (compiled % 25 === 0) report(`compiled ${compiled} of at most ${total} Go packages`);
          },
        },
      );
      report(`compiled ${packages.length} programs`);
    },
    context.signal,
  );
  if (!built) report('programs from the cache');
  return directory;
}

// The first few leave out storage drivers that need C headers and that no node here uses; the rest make static programs.
const tags = 'no_btrfs no_devmapper no_zfs no_aufs no_tracing netgo osusergo static_build';

// Without its version a Kubernetes program calls itself v0.0.0-master+$Format:%H$.
function linkerFlags(goMod: string): string {
  const version = versionOf(goMod, 'k8s.io/kubernetes');
  const [major, minor] = version.slice(1).split('.');
  const flags = {
    'k8s.io/component-base/version.gitVersion': version,
    'k8s.io/component-base/version.gitMajor': major,
    'k8s.io/component-base/version.gitMinor': minor,
    'github.com/containerd/containerd/v2/version.Version': versionOf(goMod, 'github.com/containerd/containerd/v2'),
  };
  return ['-s', '-w', ...Object.entries(flags).map(([name, value]) => `-X ${name}=${value}`)].join(' ');
}

function versionOf(goMod: string, module: string): string {
  const version = goMod
    .split('\n')
    .map((line) =>
      line
        .trim()
        .replace(/^require /, '')
        .split(' '),
    )
    .find(([name]) => name === module)?.[1];
  if (version === undefined) throw new Error(`modules/go.mod does not require ${module}`);
  return version;
}

function goRunner(context: CommandContext) {
  return (args: string[], options: { onLine?: (line: string) => void } = {}) =>
    runCommand(context, 'go', args, {
      cwd: modules,
      // A vendored or workspace setting of the user's must not reach this build.
      env: { CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false -mod=readonly', GOWORK: 'off' },
      ...options,
    });
}

async function requireGo(go: ReturnType<typeof goRunner>, goMod: string): Promise<void> {
  const wanted = /^go (\S+)$/m.exec(goMod)?.[1];
  const remedy = `install Go ≥ ${wanted} (https://go.dev/doc/install) and put its bin directory on the PATH.`;
  try {
    await go(['version']);
  } catch (cause) {
    if (cause instanceof ClusterError && cause.code === 'cluster/missing-tool') {
      throw new ClusterError('cluster/missing-tool', `Kubernetes is built from source here: ${remedy}`, { cause });
    }
    throw cause;
  }
}
