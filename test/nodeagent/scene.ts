import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { type Cgroup, createCgroups } from '../../nodeagent/cgroup/tree.ts';
import { createReconciler, type Reconciler } from '../../nodeagent/reconcile/reconcile.ts';
import { createShaper, type Shaper } from '../../nodeagent/shaper/shaper.ts';
import { programsOf } from '../lab/attached.ts';
import { findCgroup2, removeCgroup } from '../lab/cgroups.ts';

/** The compiled object. */
export const objectFile = fileURLToPath(new URL('../../bpf/shaper.bpf.o', import.meta.url));

/** A part of the real cgroup tree and of the real BPF file system that belongs to one test. */
export interface Scene {
  /** The test's own directory in the cgroup2 tree. */
  readonly root: string;
  readonly mount: string;
  readonly pinDir: string;
  readonly shaper: Shaper;
  readonly reconciler: Reconciler;
  /** A shaper and a reconciler as a restarted agent has them: without any memory. */
  restart(options?: { objectFile?: string }): { shaper: Shaper; reconciler: Reconciler };
  /** Makes a cgroup below the root. */
  make(path: string): Cgroup;
  /** Removes a cgroup below the root and all within it. */
  remove(path: string): Promise<void>;
  /** What is attached to a cgroup, by program name and attach type. */
  attached(cgroup: string): Promise<string[]>;
  /** Removes everything again, also what tests attached. */
  end(): Promise<void>;
}

/** Makes a scene. @param name a name for the directories, one for each test file */
export async function makeScene(name: string): Promise<Scene> {
  const mount = await findCgroup2();
  const id = `podrate-test-${name}-${process.pid}`;
  const root = join(mount, id);
  const pinDir = `/sys/fs/bpf/${id}`;
  mkdirSync(root);

  const restart: Scene['restart'] = (options = {}) => {
    const shaper = createShaper({
      pinDirectory: pinDir,
      objectFile: options.objectFile ?? objectFile,
      releaseCgroup: root,
      cgroupMount: mount,
    });
    const now = () => performance.now();
    return { shaper, reconciler: createReconciler({ shaper, cgroups: createCgroups({ root, mount }), now }) };
  };
  const attached = async (cgroup: string) =>
    (await programsOf(cgroup)).map(({ name: program, attachType }) => `${attachType} ${program}`).sort();

  return {
    root,
    mount,
    pinDir,
    restart,
    attached,
    ...restart(),
    make(path) {
      const full = join(root, path);
      mkdirSync(full, { recursive: true });
      return { path: full, id: statSync(full, { bigint: true }).ino };
    },
    remove: (path) => removeCgroup(join(root, path)),
    async end() {
      await removeCgroup(root);
      await execa('rm', ['-rf', pinDir]);
    },
  };
}

/** Sends UDP packets from within a cgroup, in a network namespace that ends with it. */
export async function sendFrom(cgroup: string, packets: number): Promise<void> {
  const script = `
    echo $$ > ${cgroup}/cgroup.procs
    ip link add out type veth peer name nobody
    ip addr add 10.99.0.1/24 dev out
    ip link set nobody up
    ip link set out up
    ip neigh replace 10.99.0.2 lladdr 02:00:00:00:00:02 dev out
    for i in $(seq ${packets}); do echo hello > /dev/udp/10.99.0.2/9; done`;
  await execa('unshare', ['--net', 'bash', '-e', '-c', script]);
}
