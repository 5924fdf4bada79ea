/** What the kernel must have for queues. */
import { newNamespace, runIproute, TcError } from '../net/iproute.ts';

/** What to do where the kernel has no queues. */
export const queueRemedy =
  'load the modules (modprobe -a sch_htb cls_bpf), or use a kernel with CONFIG_NET_SCH_HTB and CONFIG_NET_CLS_BPF';

// What kernels answer that know no HTB, in two versions, and that know no BPF filters.
const lacks = /qdisc kind is unknown|qdisc not found|classifier not found/;

/** Returns the error `tc/unsupported` with the remedy where the kernel lacks what queues need, else the same error. */
export function explainQueueError(error: TcError): TcError {
  if (!lacks.test(error.message)) return error;
  return new TcError('tc/unsupported', `the kernel has no HTB or no BPF filters: ${queueRemedy}`, { cause: error });
}

/** Makes a queue without classes in a network namespace that ends with the attempt. @returns why there can be none, if so */
export async function tryQueue(): Promise<string | undefined> {
  const commands = [
    'qdisc add dev lo root handle 1: htb',
    // Classic BPF that returns 0: the filter matches nothing.
    "filter add dev lo parent 1: protocol all prio 1 bpf bytecode '1,6 0 0 0' classid 1:1",
  ];
  try {
    await runIproute(newNamespace, ['tc', '-batch', '-'], `${commands.join('\n')}\n`);
    return undefined;
  } catch (error) {
    if (!(error instanceof TcError)) throw error;
    return explainQueueError(error).message;
  }
}
