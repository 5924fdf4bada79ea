/** How much a peer may send at once, in bytes. */
export type Burst = (bytesPerSecond: number) => number;

/** What containerd passes for every rate: 2^32-1 bits, half a gigabyte. */
export const containerdBurst: Burst = () => (2 ** 32 - 1) / 8;

/** A hundredth of a second, and room for the largest GSO packet, without which the kernel would segment in software. */
export const saneBurst: Burst = (rate) => Math.max(64 * 1024, rate / 100);

/** The pod as the plugins before this one have left it. */
export interface PluginPod {
  readonly netnsPath: string;
  /** The bridge's port. */
  readonly hostDevice: string;
}

/**
 * The network configuration that a container runtime writes to the standard input of the `bandwidth` plugin (CNI specification 1.0,
 * section 2; capability "bandwidth" of its CONVENTIONS). The plugin counts bits; a direction without rate is left out.
 */
export function pluginConfig(
  pod: PluginPod,
  limit: { readonly egress?: number; readonly ingress?: number },
  burst: Burst,
): object {
  const entry = (direction: 'egress' | 'ingress') => {
    const rate = limit[direction];
    if (rate === undefined) return {};
    return { [`${direction}Rate`]: Math.round(8 * rate), [`${direction}Burst`]: Math.round(8 * burst(rate)) };
  };
  const cniVersion = '1.0.0';
  return {
    cniVersion,
    name: 'bench',
    type: 'bandwidth',
    capabilities: { bandwidth: true },
    runtimeConfig: { bandwidth: { ...entry('ingress'), ...entry('egress') } },
    prevResult: {
      cniVersion,
      interfaces: [{ name: pod.hostDevice }, { name: 'eth0', sandbox: pod.netnsPath }],
      ips: [],
    },
  };
}
