/** Names the Linux security module that confines this process. */
import { readFile } from 'node:fs/promises';

/** What a security module confines a process by. */
export interface Confinement {
  readonly module: 'AppArmor' | 'SELinux';
  /** AppArmor's profile, or SELinux's type. */
  readonly label: string;
}

/** Modes in which an AppArmor profile forbids nothing. */
const permissiveModes = ['complain', 'unconfined'];

/** SELinux types that may do what root may do. */
const unconfinedTypes = ['spc_t', 'unconfined_t'];

/** Reads the confinement of this process; undefined if no module confines it. */
export async function readConfinement(): Promise<Confinement | undefined> {
  // A module that is compiled in but not active answers EINVAL.
  const read = (path: string) => readFile(`/proc/self/attr/${path}`, 'utf8').catch(() => undefined);
  return confinementOf({ appArmor: await read('apparmor/current'), current: await read('current') });
}

/**
 * Reads the confinement from the attributes of a process; undefined if no module confines it.
 * @param appArmor the text of `attr/apparmor/current`, such as `docker-default (enforce)`; undefined if it cannot be
 * read
 * @param current the text of `attr/current`, which belongs to the first active module: an SELinux context, or
 * AppArmor's profile
 */
export function confinementOf({
  appArmor,
  current,
}: {
  readonly appArmor: string | undefined;
  readonly current: string | undefined;
}): Confinement | undefined {
  const [, , type] = (current ?? '').replace('\0', '').trim().split(':');
  const isContext = type !== undefined && !current?.includes(' (');
  if (isContext && !unconfinedTypes.includes(type)) return { module: 'SELinux', label: type };
  const [, profile, mode = ''] = /^(.+) \((\w+)\)$/.exec((appArmor ?? current ?? '').trim()) ?? [];
  if (profile === undefined || permissiveModes.includes(mode)) return undefined;
  return { module: 'AppArmor', label: profile };
}
