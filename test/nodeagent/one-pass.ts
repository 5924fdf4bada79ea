/** One pass of an agent in a process of its own, so that it can be killed. Arguments: root, mount, pin directory, object, bpftool, number of pods. */
import { createBpftool } from '../../nodeagent/bpftool.ts';
import { createCgroups } from '../../nodeagent/cgroups.ts';
import { createPins } from '../../nodeagent/pins.ts';
import { createReconciler } from '../../nodeagent/reconcile.ts';
import { createShaper } from '../../nodeagent/shaper.ts';
import { podOf, uidOf } from './pods.ts';

const [root = '', mount = '', directory = '', objectFile = '', file = '', count = ''] = process.argv.slice(2);
const bpftool = createBpftool({ file, timeoutMs: 30_000 });
const pins = createPins({ directory, bpftool });
const shaper = createShaper({ bpftool, pins, objectFile, releaseCgroup: root, cgroupMount: mount });
const reconciler = createReconciler({ shaper, cgroups: createCgroups({ root, mount }), now: () => performance.now() });
await reconciler.pass(
  Array.from({ length: Number(count) }, (_, number) => podOf(uidOf(number))),
  true,
);
