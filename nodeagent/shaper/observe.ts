/** Reads the state of the shaper out of the kernel. */
import { join } from 'node:path';
import { readLink } from '../libbpf/link.ts';
import { pinnedProgramId } from '../libbpf/program.ts';
import { type Hook, hooks, programOf } from './hooks.ts';
import { decodeConfig, decodeOwner, decodeU32, encodeU64 } from './layout.ts';
import { withMaps } from './maps.ts';
import type { Pins } from './pins.ts';
import type { Attached, SlotState } from './steps.ts';

/**
 * Reads all slots that are held, with what is attached to their cgroups.
 * @param digest of the object that is installed
 * @throws BpfError
 */
export function observe(pins: Pins, digest: string): SlotState[] {
  const programs = pins.programs(digest);
  const current = hooks.map((hook) => [hook, pinnedProgramId(join(programs, programOf[hook]))] as const);
  const attachedTo = (cgroupId: bigint) => {
    const attached = new Map<Hook, Attached>();
    for (const [hook, programId] of current) {
      const link = readLink(pins.link(cgroupId, hook));
      if (link?.cgroupId === cgroupId) attached.set(hook, link.programId === programId ? 'current' : 'outdated');
    }
    return attached;
  };

  return withMaps(pins, ['owners', 'configs', 'slots'], ({ owners, configs, slots }) => {
    const states = owners.keys().flatMap((key): SlotState[] => {
      const [found, config] = [owners.lookup(key), configs.lookup(key)];
      if (found === undefined || config === undefined) return [];
      const { cgroupId, name: owner } = decodeOwner(found);
      const [slot, mapped] = [decodeU32(key), slots.lookup(encodeU64(cgroupId))];
      const isAlive = mapped !== undefined;
      const isMapped = isAlive && decodeU32(mapped) === slot;
      return [
        { slot, cgroupId, owner, config: decodeConfig(config), isAlive, isMapped, attached: attachedTo(cgroupId) },
      ];
    });
    return states.sort((one, other) => one.slot - other.slot);
  });
}
