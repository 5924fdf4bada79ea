import { describe, expect, test } from 'vitest';
import { liveChanges } from '../../nodeagent/live-changes.ts';
import { configOfLimit } from '../../nodeagent/slot-config.ts';
import type { SlotState } from '../../nodeagent/state.ts';
import { parseRate } from '../../rate/rate.ts';
import { StampError } from '../../rate/stamp.ts';
import { podOf, uidOf } from './pods.ts';

const both = (rate: string) => configOfLimit({ egress: parseRate(rate), ingress: parseRate(rate) });
const slotOf = (number: number, rate: string, marked = true): SlotState => ({
  ...{ generation: 'aaaaaaaaaaaa', slot: number, cgroupId: BigInt(number), owner: `pod/${uidOf(number)}` },
  ...{ config: both(rate), marked },
});

describe('changed labels', () => {
  test('change the slot in which the last pass left the pod', () => {
    expect(liveChanges([podOf(uidOf(1), '2M'), podOf(uidOf(2), '5M')], [slotOf(1, '1M'), slotOf(2, '5M')])).toEqual([
      { kind: 'update', generation: 'aaaaaaaaaaaa', slot: 1, owner: `pod/${uidOf(1)}`, config: both('2M') },
    ]);
  });

  test('wait for a look at the kernel where the pod has no slot, or none that counts yet', () => {
    expect(liveChanges([podOf(uidOf(1), '2M'), podOf(uidOf(2), '2M')], [slotOf(2, '1M', false)])).toEqual([]);
  });

  test('change nothing where the stamp cannot be read', () => {
    const pod = { ...podOf(uidOf(1)), limit: new StampError('stamp/not-json', 'x', 'is not JSON') };
    expect(liveChanges([pod], [slotOf(1, '2M')])).toEqual([]);
  });
});
