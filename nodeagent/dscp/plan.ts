/** Compares the marks that are on a namespace's devices with those that should be there. Pure. */

/** A network device of a namespace. */
export interface Device {
  readonly index: number;
  readonly isUp: boolean;
  /** Bytes of its link-layer header before the IP header: 14 on Ethernet, 0 on devices of IP packets. */
  readonly linkHeader: number;
  /** IP addresses on it, in the kernel's spelling, those of the link itself left out. */
  readonly addresses: readonly string[];
}

/** A filter with the marking program on the way out of a device. */
export interface Mark {
  /** The device's. */
  readonly index: number;
  /** Tells the filters of a device apart: {@link handleOf}. */
  readonly handle: number;
  /** What the program is to do, and its version: {@link classIdOf}. */
  readonly classId: number;
}

/** The handle of the filter that marks all that a namespace sends. */
export const wholeNamespace = 1;

/**
 * The handle of the filter that marks what one cgroup of a namespace sends: a number that its id alone gives, so that nothing needs
 * to be remembered. 31 bits: two cgroups of one machine meet in it only after two billion others were made in between.
 */
export function handleOf(cgroupId: bigint): number {
  return 2 + Number(cgroupId % 0x7fff_fffdn);
}

/**
 * The class id that tells the program what to do: bpf/dscp.bpf.c has its meaning.
 * @param version of the program, 1 to 65534, so that a filter with another one is replaced
 */
export function classIdOf(version: number, linkHeader: number, dscp: number): number {
  return version * 0x1_0000 + ((linkHeader << 6) | dscp);
}

/** The code point that a class id stands for. */
export function dscpOf({ classId }: Pick<Mark, 'classId'>): number {
  return classId & 0x3f;
}

/**
 * Finds what is to be done for one handle.
 * @param dscp the code point; undefined if nothing is to be marked
 */
export function planMarks(
  devices: readonly Device[],
  marks: readonly Mark[],
  { handle, dscp, version }: { readonly handle: number; readonly dscp: number | undefined; readonly version: number },
): { readonly set: readonly Mark[]; readonly remove: readonly Mark[] } {
  const own = marks.filter((mark) => mark.handle === handle);
  if (dscp === undefined) return { set: [], remove: own };
  const set = devices.flatMap(({ index, isUp, linkHeader }) => {
    const classId = classIdOf(version, linkHeader, dscp);
    const found = own.find((mark) => mark.index === index);
    // A device that is down sends nothing, and a namespace may have many that always are.
    return (found === undefined ? isUp : found.classId !== classId) ? [{ index, handle, classId }] : [];
  });
  return { set, remove: [] };
}
