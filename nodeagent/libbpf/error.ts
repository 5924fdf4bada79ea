/** Errors of calls into the kernel through libbpf. */
import { getSystemErrorMap } from 'node:util';

/**
 * Why the kernel or libbpf did not do what it was asked; a stable name, for programs. `bpf/missing`: libbpf is not
 * there or too old. `bpf/object`: an object cannot be read or loaded. `bpf/refused`: anything else.
 */
export type BpfErrorCode = 'bpf/missing' | 'bpf/object' | 'bpf/refused';

/** What is known about a failed call. */
export interface BpfErrorOptions extends ErrorOptions {
  /** The name of the error number, such as `EPERM`. */
  readonly errno?: string;
  /** What is wrong, without what to do about it; the message where it is undefined. */
  readonly problem?: string;
  /** What to do about it. */
  readonly remedy?: string;
}

/** A call failed. The message names the call, the reason and, where it is known, the remedy. */
export class BpfError extends Error {
  override readonly name = 'BpfError';
  readonly code: BpfErrorCode;
  readonly errno: string | undefined;
  readonly problem: string;
  readonly remedy: string | undefined;

  constructor(code: BpfErrorCode, message: string, options: BpfErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.errno = options.errno;
    this.problem = options.problem ?? message;
    this.remedy = options.remedy;
  }
}

/** What to do where the kernel does not allow a call. */
export const permissionRemedy =
  'it takes root with the capabilities BPF, NET_ADMIN and PERFMON, and a seccomp profile that allows bpf()';

/** Reports whether an error says that something does not exist (any more). */
export function isMissing(error: unknown): boolean {
  return error instanceof BpfError && error.errno === 'ENOENT';
}

/**
 * Builds the error of a refused call.
 * @param what the call and what it was about, such as `attach to /sys/fs/cgroup/a`
 * @param errno the error number, positive
 */
export function refused(what: string, errno: number): BpfError {
  const [name = `error ${errno}`, text = 'unknown error'] = getSystemErrorMap().get(-errno) ?? [];
  const problem = `${what}: ${text} (${name})`;
  if (name !== 'EPERM') return new BpfError('bpf/refused', problem, { errno: name });
  const message = `${problem}: ${permissionRemedy}`;
  return new BpfError('bpf/refused', message, { errno: name, problem, remedy: permissionRemedy });
}
