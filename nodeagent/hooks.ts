/** Where the shaper's programs are attached, under the names that bpftool and the object give them. */

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

/** The program that is attached once, at the root of the cgroup tree: it frees sockets that outlived their limit. */
export const releaseProgram = 'podrate_release';

/** The classifier of the ingress qdisc: the filter of HTB on the host's end of a pod's device. */
export const classifierProgram = 'podrate_queue';

/** The attach type that `bpftool cgroup attach` takes for a program. */
export function attachTypeOf(program: string): string {
  if (program === programOf.egress) return 'egress';
  if (program === programOf.ingress) return 'ingress';
  return 'sock_ops';
}

/** Makes one spelling of the attach types that bpftool prints: `egress` before version 7, `cgroup_inet_egress` since. */
export function normalAttachType(printed: string): string {
  return printed.replace(/^cgroup_(inet_)?(?=(egress|ingress|sock_ops)$)/, '');
}
