import { execa } from 'execa';
import type { Pod } from '../../test/lab/lab.ts';
import { type Burst, containerdBurst, pluginConfig, saneBurst } from './cni-config.ts';
import type { Peer } from './peer.ts';
import { removeQueues } from './queues.ts';

/** The CNI plugin as Kubernetes users get it today. */
export const cni: Peer = plugin(
  'cni',
  'the CNI bandwidth plugin, with the burst that containerd passes',
  containerdBurst,
);

/** The CNI plugin at its best. */
export const cniSane: Peer = plugin('cni-sane', 'the CNI bandwidth plugin, with a burst of 10 ms', saneBurst);

function plugin(name: string, what: string, burst: Burst): Peer {
  return {
    name,
    what,
    async limit(bed, pod, limit) {
      const config = pluginConfig({ netnsPath: pod.netnsPath, hostDevice: pod.hubPort }, limit, burst);
      const run = (command: 'ADD' | 'DEL') => runPlugin(bed.programs.plugin, pod, command, config);
      await run('ADD');
      return {
        async remove() {
          await run('DEL');
          // With a real pod the device and its queues go as well.
          await removeQueues(pod);
        },
      };
    },
  };
}

/** Executes the plugin in the namespace of the bridge, as a runtime does on the node (CNI specification 1.0, section 3). */
async function runPlugin(file: string, pod: Pod, command: 'ADD' | 'DEL', config: object): Promise<void> {
  await execa('nsenter', [`--net=${pod.hubNetnsPath}`, file], {
    input: JSON.stringify(config),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: `bench-${pod.name}`,
      CNI_NETNS: pod.netnsPath,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
    },
  });
}
