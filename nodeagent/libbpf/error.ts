/** Errors of calls into the kernel through libbpf. */
import { getSystemErrorMap } from 'node:util';

/**
 * Why the kernel or libbpf did not do what it was asked; a stable name, for programs. `bpf/missing`: libbpf is not
 * there or too old. `bpf/object`: an object cannot be read or loaded. `bpf/refused`: anything else.
 */
export type BpfErrorCode = 'bpf/missing' | 'bpf/object' | 'bpf/refused';

/** A call failed. The message names the call, the reason and, where it is known, the remedy. */
export class BpfError extends Error {
  override readonly name = 'BpfError';
  readonly code: BpfErrorCode;
  /** The name of the error number, such as `EPERM`. */
  readonly errno: string | undefined;
  /** What is wrong, without what to do about it. */
  readonly problem: string;
  /** What to do about it. */
  readonly remedy: string | undefined;

  constructor(
    code: BpfErrorCode,
    problem: string,
    { errno, remedy, ...options }: ErrorOptions & { errno?: string | undefined; remedy?: string | undefined } = {},
  ) {
    super(remedy === undefined ? problem : `${problem}: ${remedy}`, options);
    this.code = code;
    this.errno = errno;
    this.problem = problem;
    this.remedy = remedy;
  }
}

/** What to do where the kernel does not allow a call. */
export const permissionRemedy =
  'it takes root with the capabilities BPF, NET_ADMIN and PERFMON, and a seccomp profile that allows bpf()';

/**
 * Builds the error of a refused call.
 * @param what the call and what it was about, such as `attach to /sys/fs/cgroup/a`
 * @param number the error number, positive
 */
export function refused(what: string, number: number): BpfError {
  const [errno = `error ${number}`, text = 'unknown error'] = getSystemErrorMap().get(-number) ?? [];
  const remedy = errno === 'EPERM' ? permissionRemedy : undefined;
  return new BpfError('bpf/refused', `${what}: ${text} (${errno})`, { errno, remedy });
}
