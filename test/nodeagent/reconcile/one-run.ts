/**
 * One pass or one uninstall of an agent in a process of its own, which is killed before one of its changes of the kernel's
 * state. Arguments: `pass` or `uninstall`, root, mount, pin directory, object, number of pods, and the number of the change
 * (from 1; 0: it is not killed).
 */
import { createCgroups } from '../../../nodeagent/cgroup/tree.ts';
import { type Libbpf, loadLibrary } from '../../../nodeagent/libbpf/library.ts';
import { createReconciler } from '../../../nodeagent/reconcile/reconcile.ts';
import { createShaper } from '../../../nodeagent/shaper/shaper.ts';
import { uninstall } from '../../../nodeagent/uninstall.ts';
import { podOf, uidOf } from '../pods.ts';

const [verb = '', root = '', mount = '', pinDirectory = '', objectFile = '', count = '', fatal = ''] =
  process.argv.slice(2);
const changes = [
  'bpf_object__load',
  'bpf_obj_pin',
  'bpf_map_update_elem',
  'bpf_map_delete_elem',
  'bpf_link_create',
  'bpf_link_update',
] as const satisfies readonly (keyof Libbpf)[];

let done = 0;
const { libbpf } = loadLibrary() as unknown as { libbpf: Record<string, (...args: unknown[]) => unknown> };
for (const name of changes) {
  const change = libbpf[name];
  libbpf[name] = (...args) => {
    done += 1;
    if (done === Number(fatal)) process.kill(process.pid, 'SIGKILL');
    return change?.(...args);
  };
}

const shaper = createShaper({ pinDirectory, objectFile, releaseCgroup: root, cgroupMount: mount });
if (verb === 'uninstall') {
  const marker = { isUsed: () => false, clearAll: () => [] };
  await uninstall({ shaper, marker }, [], async () => {});
} else {
  const cgroups = createCgroups({ root, mount });
  const reconciler = createReconciler({ shaper, cgroups, now: () => performance.now() });
  const pods = Array.from({ length: Number(count) }, (_, number) => podOf(uidOf(number)));
  await reconciler.pass(pods, true);
}
