/** The hooks to which the shaper's programs are attached. */
import type { CgroupAttachType } from '../libbpf/link.ts';

/** A hook of a limited cgroup. */
export type Hook = 'egress' | 'ingress' | 'sockops';

/** All hooks of a limited cgroup, in the order in which they are attached. */
export const hooks: readonly Hook[] = ['egress', 'ingress', 'sockops'];

/** The program of each hook: function name in the object, and so the name of its pin. */
export const programOf: Readonly<Record<Hook, string>> = {
  egress: 'podrate_egress',
  ingress: 'podrate_ingress',
  sockops: 'podrate_sockops',
};

/** The attach type of each hook. */
export const attachTypeOf: Readonly<Record<Hook, CgroupAttachType>> = {
  egress: 'egress',
  ingress: 'ingress',
  sockops: 'sock_ops',
};

/** The program that is attached once, at the root of the cgroup tree: it frees sockets that outlived their limit. */
export const releaseProgram = 'podrate_release';

/** The classifier of the ingress qdisc: the filter of HTB on the host's end of a pod's device. */
export const classifierProgram = 'podrate_queue';

/** All programs of the object. */
export const programNames: readonly string[] = [...Object.values(programOf), releaseProgram, classifierProgram];
