import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { execa } from 'execa';

/** A runtime of the OCI, by the name of its program. */
export type Runtime = 'runc' | 'crun';

/** What a container is made with. */
export interface ContainerOptions {
  readonly runtime: Runtime;
  readonly id: string;
  /** Where its bundle and the runtime's state may be kept. */
  readonly directory: string;
  /** The directory that becomes its cgroup; where one puts it is what makes containers of Docker, Podman and so on. */
  readonly cgroup: string;
  /** Where the cgroup2 tree begins. */
  readonly mount: string;
  readonly netnsPath: string;
  /** The command of its first process. */
  readonly command: readonly string[];
}

/** A running container. */
export interface Container {
  /** Runs a command in it until the command ends. */
  exec(command: readonly string[]): Promise<void>;
  /** Ends it, with all its processes. */
  delete(): Promise<void>;
}

/** Starts a container whose root is a static busybox, as containerd would have the runtime do it. Needs root. */
export async function startContainer(options: ContainerOptions): Promise<Container> {
  const { runtime, id, directory, mount } = options;
  const bundle = join(directory, id);
  await mkdir(join(bundle, 'rootfs/bin'), { recursive: true });
  await copyFile('/usr/bin/busybox', join(bundle, 'rootfs/bin/busybox'));
  for (const name of ['sh', 'nc']) await symlink('busybox', join(bundle, 'rootfs/bin', name));
  await writeFile(join(bundle, 'config.json'), JSON.stringify(specOf(options)));
  const run = async (...args: string[]) => {
    // Beside cgroup v1 the runtimes know only the places of v1; in a mount namespace v2 alone can be where they look.
    const script = 'mount --bind "$0" /sys/fs/cgroup && exec "$@"';
    const command = [runtime, '--root', join(directory, runtime), ...args];
    // Its output is the container's too, which stays open, so nothing waits for its end.
    await execa('unshare', ['--mount', 'sh', '-c', script, mount, ...command], { stdio: 'ignore' });
  };
  await run('run', '--detach', '--bundle', bundle, id);
  return {
    exec: (command) => run('exec', id, ...command),
    delete: () => run('delete', '--force', id),
  };
}

/** The OCI's runtime specification of it, version 1.0.2. */
function specOf({ cgroup, mount, netnsPath, command }: ContainerOptions): object {
  return {
    ociVersion: '1.0.2',
    root: { path: 'rootfs' },
    process: { user: { uid: 0, gid: 0 }, cwd: '/', env: ['PATH=/bin'], args: command },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
    ],
    linux: {
      namespaces: [{ type: 'mount' }, { type: 'pid' }, { type: 'network', path: netnsPath }],
      cgroupsPath: `/${relative(mount, cgroup)}`,
    },
  };
}
