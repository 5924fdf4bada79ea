/** Names the Linux security module that confines this process. */
import { readFileSync } from 'node:fs';
import { orUndefined } from '../base/errors.ts';

/** What a security module confines a process by. */
export interface Confinement {
  readonly module: 'AppArmor' | 'SELinux';
  /** AppArmor's profile, or SELinux's type. */
  readonly label: string;
}

/** Modes in which an AppArmor profile forbids nothing, and SELinux types that may do what root may do. */
const permissive = ['complain', 'unconfined', 'spc_t', 'unconfined_t'];

/** Reads the confinement of this process; undefined if no module confines it. */
export function readConfinement(): Confinement | undefined {
  // A module that is compiled in but not active answers EINVAL.
  const read = (name: string) => orUndefined(() => readFileSync(`/proc/self/attr/${name}`, 'utf8')) ?? '';
  return confinementOf(read('apparmor/current'), read('current'));
}

/**
 * Reads the confinement from the attributes of a process; undefined if no module confines it.
 * @param appArmor the text of `attr/apparmor/current`, such as `docker-default (enforce)`; empty if it cannot be read
 * @param current the text of `attr/current`, which belongs to the first active module: an SELinux context, or
 * AppArmor's profile
 */
export function confinementOf(appArmor: string, current: string): Confinement | undefined {
  const [, , type] = current.includes(' (') ? [] : current.replace('\0', '').trim().split(':');
  if (type !== undefined && !permissive.includes(type)) return { module: 'SELinux', label: type };
  const [, profile, mode = ''] = /^(.+) \((\w+)\)$/.exec((appArmor || current).trim()) ?? [];
  return profile === undefined || permissive.includes(mode) ? undefined : { module: 'AppArmor', label: profile };
}
