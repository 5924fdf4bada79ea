import type { Cluster } from '../test/cluster/cluster.ts';
import { nodeOf } from './node.ts';
import type { Say } from './step.ts';

/** Idle part of the node's processors that leaves room for the traffic. */
const IDLE = 0.6;

/** After this many looks of two seconds each the demo goes on all the same. */
const LOOKS = 30;

/** Waits until the node is done with starting pods: its processors are emulated, and what they lack the traffic lacks. */
export async function waitUntilQuiet(cluster: Cluster, say: Say): Promise<void> {
  for (let look = 0; look < LOOKS; look += 1) {
    const idle = await idleShare(cluster);
    say(`the node's processors are ${Math.round(idle * 100)} % idle`);
    if (idle >= IDLE) return;
  }
}

async function idleShare(cluster: Cluster): Promise<number> {
  const { stdout } = await nodeOf(cluster).exec('head -n 1 /proc/stat; sleep 2; head -n 1 /proc/stat');
  const lines = stdout.trim().split('\n');
  const [before = [], after = []] = lines.map((line) => line.trim().split(/\s+/).slice(1).map(Number));
  const spent = after.map((ticks, index) => ticks - (before[index] ?? 0));
  const total = spent.reduce((sum, ticks) => sum + ticks, 0);
  // Fourth field: idle (proc_stat(5)).
  return (spent[3] ?? 0) / Math.max(1, total);
}
