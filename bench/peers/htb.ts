import { execa } from 'execa';
import { saneBurst } from './cni-config.ts';
import type { Peer } from './peer.ts';
import { hubTc, removeQueues } from './queues.ts';

/** HTB where the CNI plugin has its TBF: on the pod's port for what it receives, behind an IFB device for what it sends. */
export const htb: Peer = {
  name: 'htb',
  what: 'HTB in the places of the CNI plugin',
  async limit(_bed, pod, limit) {
    const ifb = `ifb-${pod.name}`;
    const inHub = (...command: string[]) => execa('nsenter', [`--net=${pod.hubNetnsPath}`, 'ip', ...command]);
    const shape = (verb: 'add' | 'change', device: string, rate: number) => {
      const burst = Math.round(saneBurst(rate));
      const size = `rate ${Math.round(8 * rate)}bit burst ${burst} cburst ${burst}`;
      return `class ${verb} dev ${device} ${verb === 'add' ? 'parent 1:' : ''} classid 1:1 htb ${size}`;
    };
    const root = (device: string) => `qdisc add dev ${device} root handle 1: htb default 1`;
    if (limit.egress !== undefined) {
      await inHub('link', 'add', ifb, 'up', 'type', 'ifb');
      await hubTc(pod, [
        `qdisc add dev ${pod.hubPort} ingress`,
        `filter add dev ${pod.hubPort} parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ${ifb}`,
        root(ifb),
        shape('add', ifb, limit.egress),
      ]);
    }
    if (limit.ingress !== undefined) {
      await hubTc(pod, [root(pod.hubPort), shape('add', pod.hubPort, limit.ingress)]);
    }
    return {
      async change({ egress, ingress }) {
        if (egress !== undefined) await hubTc(pod, [shape('change', ifb, egress)]);
        if (ingress !== undefined) await hubTc(pod, [shape('change', pod.hubPort, ingress)]);
      },
      async remove() {
        await removeQueues(pod);
        if (limit.egress !== undefined) await inHub('link', 'del', ifb);
      },
    };
  },
};
