import { join } from 'node:path';
import { mountBpffs } from './bpffs.ts';
import { createCgroup, findCgroup2, removeCgroup } from './cgroups.ts';
import { createNetwork, type PodNetwork, removeNetwork } from './network.ts';
import { type LoadedShaper, loadShaper } from './shaper.ts';

/** A pod without Kubernetes: a cgroup and a network namespace. */
export interface Pod extends PodNetwork {
  name: string;
  cgroup: { path: string; id: bigint };
}

/** Pods on one bridge, and the shaper loaded for them. Needs root. */
export interface Lab {
  pods: Record<'a' | 'b' | 'c', Pod>;
  /** The cgroup above all pods; the release program goes here, so that it sees no other socket of the machine. */
  rootCgroup: string;
  shaper: LoadedShaper;
  close(): Promise<void>;
}

/**
 * Makes the lab. What a killed run has left is removed first.
 * @param name of its namespaces, cgroups and pins: labs of different names can be open at the same time
 */
export async function openLab(name = 'podrate-lab'): Promise<Lab> {
  const rootCgroup = join(await findCgroup2(), name);
  const close = async () => {
    await removeCgroup(rootCgroup);
    await removeNetwork(name);
  };
  await mountBpffs();
  await close();
  try {
    const networks = await createNetwork(name, ['a', 'b', 'c']);
    const pod = async (podName: string): Promise<Pod> => {
      const network = networks[podName];
      if (!network) throw new Error(`no network for pod ${podName}`);
      return { ...network, name: podName, cgroup: await createCgroup(join(rootCgroup, podName)) };
    };
    const pods = { a: await pod('a'), b: await pod('b'), c: await pod('c') };
    const shaper = await loadShaper(name);
    return {
      pods,
      rootCgroup,
      shaper,
      async close() {
        await close();
        await shaper.unload();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
