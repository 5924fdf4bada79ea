import type { ClusterNode } from '../cluster/access.ts';

const SLICES = "find /sys/fs/cgroup/kubepods.slice -maxdepth 2 -type d -name '*-pod*.slice'";

/**
 * Waits until podrate's three programs are attached to each of `count` slices that appear from now on.
 *
 * @returns When that was seen, by pod uid, in seconds since the node's boot: at most some 100 ms late.
 */
export async function watchAttachments(
  node: ClusterNode,
  count: number,
  seconds: number,
): Promise<Map<string, number>> {
  const script = `shaped-slices /sys/fs/cgroup/kubepods.slice ${count} ${seconds}`;
  const { stdout } = await node.exec(script, { timeoutMs: (seconds + 60) * 1000 });
  return new Map(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .flatMap(([now, slice]) => (slice === undefined ? [] : [[uidOf(slice), Number(now)] as const])),
  );
}

/**
 * When each pod's container was started, in seconds since the node's boot, by pod uid: the kernel's start time of its first
 * process that is not the sandbox's.
 */
export async function containerStarts(node: ClusterNode, uids: readonly string[]): Promise<Map<string, number>> {
  const script = `
    ticks=$(getconf CLK_TCK)
    for slice in $(${SLICES}); do
      for pid in $(cat "$slice"/*/cgroup.procs 2> /dev/null); do
        read -r name < /proc/$pid/comm 2> /dev/null || continue
        [ "$name" = pause ] && continue
        echo "$slice $(awk -v ticks=$ticks '{ sub(/.*\\) /, ""); print $20 / ticks }' /proc/$pid/stat)"
      done
    done`;
  const { stdout } = await node.exec(script);
  const starts = new Map<string, number>();
  for (const line of stdout.trim().split('\n')) {
    const [slice = '', start] = line.split(' ');
    const uid = uidOf(slice);
    if (uids.includes(uid)) starts.set(uid, Math.min(starts.get(uid) ?? Number.POSITIVE_INFINITY, Number(start)));
  }
  return starts;
}

/** The pod's uid in a slice's name, where systemd has `_` for `-`. */
function uidOf(slice: string): string {
  return (/-pod([0-9a-f_]+)\.slice$/.exec(slice)?.[1] ?? '').replaceAll('_', '-');
}
