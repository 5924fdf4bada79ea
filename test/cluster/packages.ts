import { execa } from 'execa';
import { withLock } from './cache.ts';
import { type CommandContext, runCommand } from './command.ts';
import { ClusterError } from './error.ts';
import type { Report } from './progress.ts';

/** The Debian packages that each level of tests needs on the machine, and for what. */
export const packageGroups = {
  /** Nothing beyond Node.js. */
  unit: [],
  /** Compile the shaper and senders, load it, send traffic through it, also from containers. */
  kernel: [
    ...['clang', 'llvm', 'libbpf-dev', 'libc6-dev', 'make', 'libbpf1', 'bpftool', 'iproute2', 'iperf3', 'util-linux'],
    ...['procps', 'runc', 'crun', 'busybox-static', 'iptables', 'nftables'],
  ],
  /** Network namespace, certificates, fetching etcd (which comes unpacked, not installed: installing would start a service). */
  controlplane: ['iproute2', 'iptables', 'util-linux', 'openssl', 'dpkg', 'ca-certificates'],
  /** The node's machine, its disks, the images. */
  node: [
    'qemu-system-x86',
    'mmdebstrap',
    'debian-archive-keyring',
    'buildah',
    'e2fsprogs',
    'cpio',
    'kmod',
    'busybox-static',
    'gcc',
    'libc6-dev',
    'tar',
    'xz-utils',
  ],
} as const;

/** A level of tests with packages of its own. */
export type PackageGroup = keyof typeof packageGroups;

/** The packages of the groups that are not installed. */
export async function missingPackages(groups: readonly PackageGroup[]): Promise<string[]> {
  const wanted = [...new Set(groups.flatMap((group) => [...packageGroups[group]]))];
  if (wanted.length === 0) return [];
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own notation
  const query = await execa('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\\n', ...wanted], {
    reject: false,
  });
  if (query.code === 'ENOENT') {
    throw new ClusterError(
      'cluster/missing-tool',
      `this machine has no dpkg-query. Use a Debian-like machine, or install what these packages hold yourself: ${wanted.join(' ')}`,
    );
  }
  const installed = new Set(
    query.stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ', 1)[0]),
  );
  return wanted.filter((name) => !installed.has(name));
}

/**
 * Installs what the groups need and the machine lacks, and returns it. Does nothing but ask dpkg when all is there.
 * Throws a ClusterError that names the packages and the remedy if it cannot.
 */
export async function installPackages(
  groups: readonly PackageGroup[],
  context: CommandContext,
  report: Report,
): Promise<string[]> {
  const wanted = await missingPackages(groups);
  if (wanted.length === 0) return [];
  if (process.getuid?.() !== 0) throw unable(wanted, 'root is needed to install packages');
  // Levels and steps that start at the same time: apt-get can wait for another install, but not for another update.
  return withLock('/run/podrate-packages.lock', () => installMissing(groups, context, report), context.signal);
}

async function installMissing(
  groups: readonly PackageGroup[],
  context: CommandContext,
  report: Report,
): Promise<string[]> {
  const missing = await missingPackages(groups);
  if (missing.length === 0) return missing;
  const install = ['install', '-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', ...patience, ...missing];
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, onLine: sayPackage(report) };
  try {
    // A fresh machine has no package lists, an old one has lists of versions that are gone: update then, and only then.
    report(`installing ${missing.length} packages`);
    await runCommand(context, 'apt-get', install, options).catch(async () => {
      report('updating the package lists');
      await runCommand(context, 'apt-get', ['update', ...patience], { env: options.env });
      await runCommand(context, 'apt-get', install, options);
    });
  } catch (error) {
    if (error instanceof ClusterError && error.code === 'cluster/cancelled') throw error;
    throw unable(missing, 'apt-get could not install them', error, context);
  }
  return missing;
}

// Another apt may be at work; it ends.
const patience = ['-o', 'DPkg::Lock::Timeout=300'];

function sayPackage(report: Report): (line: string) => void {
  return (line) => {
    const match = /^(Unpacking|Setting up) (\S+)/.exec(line);
    if (match !== null) report(`${match[1]} ${match[2]}`);
  };
}

function unable(missing: string[], why: string, cause?: unknown, context?: CommandContext): ClusterError {
  return new ClusterError(
    'cluster/missing-package',
    `these Debian packages are missing, and ${why}. Run as root: apt-get update && apt-get install ${missing.join(' ')}`,
    {
      cause,
      ...(cause instanceof ClusterError && cause.output !== undefined ? { output: cause.output } : {}),
      ...(context === undefined ? {} : { step: context.step, log: context.log }),
    },
  );
}
