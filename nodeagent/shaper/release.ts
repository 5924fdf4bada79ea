/**
 * The program at the root of the cgroup tree that frees sockets of which the limit is gone: those that were silent while
 * it was released, and those whose pod's program was detached without a release.
 */
import { openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inode } from '../cgroup/tree.ts';
import { explainAttach } from '../libbpf/blocking.ts';
import { openPin, withDescriptor } from '../libbpf/call.ts';
import { BpfError } from '../libbpf/error.ts';
import { attachToCgroup, readLink, updateLink } from '../libbpf/link.ts';
import { programId } from '../libbpf/program.ts';
import { releaseProgram } from './hooks.ts';
import type { Pins } from './pins.ts';

/**
 * Makes the program attached to a cgroup.
 * @param digest of the object that is installed
 * @param directory of the cgroup
 * @param mount where the cgroup2 tree begins
 * @returns why it could not be; pods can be limited without it
 */
export function attachRelease(pins: Pins, digest: string, directory: string, mount: string): Error | undefined {
  const path = pins.releaseLink;
  try {
    withDescriptor(openPin(join(pins.programs(digest), releaseProgram)), (program) => {
      const link = readLink(path);
      if (link !== undefined && link.cgroupId === inode(directory)) {
        if (link.programId !== programId(program)) updateLink(path, program);
        return;
      }
      // It is on another cgroup, or somebody has detached it.
      rmSync(path, { force: true });
      withDescriptor(openSync(directory, 'r'), (descriptor) =>
        attachToCgroup(program, { descriptor, directory }, 'sock_ops', path),
      );
    });
    return undefined;
  } catch (error) {
    if (!(error instanceof Error) || (error instanceof BpfError && error.code === 'bpf/missing')) throw error;
    return explainAttach(error, directory, 'sock_ops', mount);
  }
}
