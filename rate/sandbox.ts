// gVisor (runsc), Kata Containers with its hypervisors, and what runs pods in machines of their own. What a class does is
// known to its runtime alone, so the names that these projects and the providers give are what there is to go by.
const sandboxes = /^(gvisor|runsc|kata|firecracker|fc|hyperv|sev|tdx)(-[a-z0-9.-]*)?$/;

/**
 * Reports whether a runtime class, by its name, runs pods in a sandbox: their sockets are in another kernel than the
 * node's, where no cgroup of the node has a say.
 */
export function isSandbox(runtimeClass: string | undefined): boolean {
  return runtimeClass !== undefined && runtimeClass.length <= 253 && sandboxes.test(runtimeClass);
}
