import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type CommandContext, runCommand } from '../process/command.ts';
import { adoptImage } from './oci.ts';

/** Builds images without a daemon and without a registry, in a storage of its own. */
export interface Buildah {
  /** Identifies the storage. */
  storage: string;
  /** Makes an image of one layer out of a directory. */
  commit(tree: string, name: string, command: readonly string[]): Promise<void>;
  /** Builds a Dockerfile; unchanged steps come from the storage. */
  build(directory: string, name: string, onLine: (line: string) => void): Promise<void>;
  /** Writes an image as an uncompressed OCI image layout into a directory. */
  save(name: string, directory: string): Promise<void>;
}

// f_type of statfs(2); an overlay cannot be the upper half of another.
const OVERLAYFS_SUPER_MAGIC = 0x794c7630;

// Steps of old builds that may lie in the storage before it is emptied down to the base image.
const MAX_IMAGES = 60;

/** Opens a storage, which is made if it is not there. */
export async function openBuildah(storage: string, context: CommandContext): Promise<Buildah> {
  const policy = join(storage, 'policy.json');
  await mkdir(storage, { recursive: true });
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
  const { type } = await statfs(dirname(storage));
  const env = {
    STORAGE_DRIVER: type === OVERLAYFS_SUPER_MAGIC ? 'vfs' : 'overlay',
    STORAGE_OPTS: '',
    BUILDAH_ISOLATION: 'chroot',
    CONTAINERS_REGISTRIES_CONF: '/dev/null',
  };
  const buildah = async (args: string[], onLine?: (line: string) => void): Promise<string> => {
    // A run root of its own: what another command had mounted is not mounted in this one's namespace.
    const runRoot = await mkdtemp(join(tmpdir(), 'podrate-buildah-'));
    const command = ['--root', join(storage, 'root'), '--runroot', runRoot, ...args];
    try {
      return await runCommand(context, 'buildah', command, { env, isolated: true, ...(onLine && { onLine }) });
    } finally {
      await rm(runRoot, { recursive: true, force: true });
    }
  };
  return {
    storage,
    async commit(tree, name, command) {
      const dockerfile = join(storage, 'Dockerfile');
      await writeFile(dockerfile, `FROM scratch\nCOPY . /\nCMD ${JSON.stringify(command)}\n`);
      const options = ['--signature-policy', policy, '--layers=false', '-f', dockerfile, '-t', name];
      await buildah(['bud', ...options, tree]);
    },
    async build(directory, name, onLine) {
      const count = (await buildah(['images', '--all', '--quiet'])).split('\n').length;
      if (count > MAX_IMAGES)
        await buildah(['rmi', '--force', name]).then(() => buildah(['rmi', '--prune', '--force']));
      const options = ['--pull-never', '--layers', '--signature-policy', policy, '-t', name];
      await buildah(['bud', ...options, directory], onLine);
    },
    async save(name, directory) {
      // Of the formats without compression the one that needs no repacking.
      const plain = `${directory}.plain`;
      const options = ['--disable-compression', '--format', 'oci', '--signature-policy', policy];
      await buildah(['push', ...options, name, `dir:${plain}`]);
      await adoptImage(plain, directory, name);
      await rm(plain, { recursive: true });
    },
  };
}
