import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { removeCgroup } from '../../lab/cgroups.ts';

/** A pod as far as its cgroup depends on it. */
export interface KubeletPod {
  readonly uid: string;
  readonly qosClass: 'Guaranteed' | 'Burstable' | 'BestEffort';
}

/** How a kubelet names cgroups. */
export type Driver = 'cgroupfs' | 'systemd';

/** Makes and removes pods' cgroups on this machine where and as a kubelet does. */
export interface KubeletCgroups {
  /** Makes the pod's cgroup and one of a container in it. @returns the pod's directory */
  make(pod: KubeletPod): Promise<string>;
  remove(pod: KubeletPod): Promise<void>;
  /** The id that the kernel gives the pod's cgroup. */
  id(pod: KubeletPod): Promise<bigint>;
}

/** Stands in for a kubelet below a directory of the cgroup2 tree. */
export function kubeletCgroups(root: string, driver: Driver): KubeletCgroups {
  const pathOf = ({ uid, qosClass }: KubeletPod) => {
    const quality = qosClass === 'Guaranteed' ? [] : [qosClass.toLowerCase()];
    if (driver === 'cgroupfs') return join(root, 'kubepods', ...quality, `pod${uid}`);
    const parts = ['kubepods', ...quality, `pod${uid.replaceAll('-', '_')}`];
    return join(root, ...parts.map((_, index) => `${parts.slice(0, index + 1).join('-')}.slice`));
  };
  return {
    async make(pod) {
      const path = pathOf(pod);
      await mkdir(join(path, driver === 'systemd' ? 'cri-containerd-0123.scope' : '0123'), { recursive: true });
      return path;
    },
    remove: (pod) => removeCgroup(pathOf(pod)),
    id: async (pod) => (await stat(pathOf(pod), { bigint: true })).ino,
  };
}
