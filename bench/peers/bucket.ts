import { rm } from 'node:fs/promises';
import { execa } from 'execa';
import type { Peer, PeerLimit } from './peer.ts';

/** The bucket of the work that podrate continues. It knows one direction. */
export const thesis: Peer = bucket('thesis', 'the token bucket of the 2020 thesis', ['egress']);

/** A token bucket that is right and only drops. */
export const drop: Peer = bucket('drop', 'a correct token bucket that only drops', ['egress', 'ingress']);

function bucket(name: string, what: string, directions: readonly (keyof PeerLimit)[]): Peer {
  return {
    name,
    what,
    async limit(bed, pod, limit) {
      const undo: (() => Promise<unknown>)[] = [];
      for (const direction of directions) {
        const rate = limit[direction];
        if (rate === undefined) continue;
        const pins = `${bed.pinDirectory}/${name}-${direction}`;
        await rm(pins, { recursive: true, force: true });
        await execa('bpftool', ['prog', 'loadall', await bed.programs.compile(name, rate), pins]);
        const program = [pod.cgroup.path, `cgroup_inet_${direction}`, 'pinned', `${pins}/${name}_${direction}`];
        await execa('bpftool', ['cgroup', 'attach', ...program, 'multi']);
        undo.push(async () => {
          await execa('bpftool', ['cgroup', 'detach', ...program]);
          await rm(pins, { recursive: true });
        });
      }
      return {
        async remove() {
          for (const step of undo) await step();
        },
      };
    },
  };
}
