/** What the kernel must have for queues. */
import { errorOf } from '../base/errors.ts';
import { inNewNetworkNamespace } from '../libbpf/namespace.ts';
import { NetlinkError, withNetlink } from '../net/netlink.ts';
import { createHtb, putFilter, root } from '../net/tc.ts';

/** What to do where the kernel has no queues. */
export const queueRemedy =
  'load the modules (modprobe -a sch_htb cls_bpf), or use a kernel with CONFIG_NET_SCH_HTB and CONFIG_NET_CLS_BPF';

/** The kernel has no queues. */
export class NoQueuesError extends Error {
  override readonly name = 'NoQueuesError';
}

// What kernels answer that know no HTB, in two versions, and that know no BPF filters.
const lacks = /qdisc kind is unknown|qdisc not found|classifier not found/;

/** Returns a NoQueuesError with the remedy where the kernel lacks what queues need, else the same error. */
export function explainQueueError(error: Error): Error {
  if (!(error instanceof NetlinkError) || !lacks.test(error.message)) return error;
  return new NoQueuesError(`the kernel has no HTB or no BPF filters: ${queueRemedy}`, { cause: error });
}

/** Tries a queue in a network namespace that ends with the attempt. @returns why there can be none, if so */
export function tryQueue(): string | undefined {
  const [index, handle] = [1, 0x1_0000];
  const place = { index, parent: handle, preference: 1, handle: 1 };
  const error = errorOf(() =>
    inNewNetworkNamespace(() =>
      withNetlink(undefined, (netlink) => {
        createHtb(netlink, { index, parent: root, handle }, 1);
        // No program: a kernel that has BPF filters says so.
        putFilter(netlink, place, { classId: handle, name: '', program: -1 });
      }),
    ),
  );
  const isAbleTo = error === undefined || (error instanceof NetlinkError && error.errno === 'EBADF');
  return isAbleTo ? undefined : explainQueueError(error).message;
}
