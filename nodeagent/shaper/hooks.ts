/** The names of what the object has: programs, the hooks to which they are attached, and maps. */

/** A hook of a limited cgroup. */
export type Hook = 'egress' | 'ingress' | 'sockops';

/** All hooks of a limited cgroup, in the order in which they are attached. */
export const hooks: readonly Hook[] = ['egress', 'ingress', 'sockops'];

/** The program of each hook: function name in the object, and so the name of its pin. */
export const programOf = { egress: 'podrate_egress', ingress: 'podrate_ingress', sockops: 'podrate_sockops' } as const;

/** The attach type of each hook. */
export const attachTypeOf = { egress: 'egress', ingress: 'ingress', sockops: 'sock_ops' } as const;

/** The program that is attached once, at the root of the cgroup tree: it frees sockets that outlived their limit. */
export const releaseProgram = 'podrate_release';

/** The classifier of the ingress qdisc: the filter of HTB on the host's end of a pod's device. */
export const classifierProgram = 'podrate_queue';

/** All programs of the object. */
export const programNames = [...Object.values(programOf), releaseProgram, classifierProgram];

/** The maps that user space reads and writes, without the prefix `podrate_`. */
export const mapNames = ['slots', 'configs', 'states', 'counts', 'owners', 'exempt', 'sockets'] as const;

/** A map that user space reads and writes. */
export type MapName = (typeof mapNames)[number];
