/** How kubelets name cgroups. */

const tree = /^(.*-)?kubepods(\.slice)?$/;
const quality = /^(.*-)?(burstable|besteffort)(\.slice)?$/;
const uid = '[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}';
// Static pods have an MD5 hash in place of a uid: no dashes.
const pod = new RegExp(`^(?:.*-)?pod(${uid}|[0-9a-f]{32})(?:\\.slice)?$`);

/** Whether a directory is the root of a kubelet's pods: `kubepods`, `kubepods.slice`, `kubelet-kubepods.slice` and the like. */
export function isPodTree(directory: string): boolean {
  return tree.test(directory);
}

/** Whether a directory holds the pods of a quality of service class; guaranteed pods have none of their own. */
export function isQualityClass(directory: string): boolean {
  return quality.test(directory);
}

/**
 * The uid in the name of a pod's directory: cgroupfs driver `pod<uid>`, systemd driver `kubepods-burstable-pod<uid>.slice` with
 * `_` for `-`. Undefined if it is no pod's.
 */
export function podUidOf(directory: string): string | undefined {
  return pod.exec(directory)?.[1]?.replaceAll('_', '-');
}
