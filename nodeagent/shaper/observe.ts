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
  const current = new Map(hooks.map((hook) => [hook, pinnedProgramId(join(pins.programs(digest), programOf[hook]))]));
  const attachedTo = (cgroupId: bigint) => {
    const attached = new Map<Hook, Attached>();
    for (const hook of hooks) {
      const link = readLink(pins.link(cgroupId, hook));
      if (link?.cgroupId !== cgroupId) continue;
      attached.set(hook, link.programId === current.get(hook) ? 'current' : 'outdated');
    }
    return attached;
  };

  return withMaps(pins, ['owners', 'configs', 'slots'], ({ owners, configs, slots }) => {
    const states = owners.keys().flatMap((key): SlotState[] => {
      const found = owners.lookup(key);
      const config = configs.lookup(key);
      if (found === undefined || config === undefined) return [];
      const { cgroupId, name } = decodeOwner(found);
      const [slot, mapped] = [decodeU32(key), slots.lookup(encodeU64(cgroupId))];
      return [
        {
          slot,
          cgroupId,
          owner: name,
          config: decodeConfig(config),
          isAlive: mapped !== undefined,
          isMapped: mapped !== undefined && decodeU32(mapped) === slot,
          attached: attachedTo(cgroupId),
        },
      ];
    });
    return states.sort((one, other) => one.slot - other.slot);
  });
}
