import { expect, test } from 'vitest';
import type { Bpftool } from '../../nodeagent/bpftool.ts';
import { encodeConfig, encodeOwner, encodeU32, encodeU64 } from '../../nodeagent/layout.ts';
import { programsOf, readCommands, readingOf, sortPrograms } from '../../nodeagent/observe.ts';
import { createPins } from '../../nodeagent/pins.ts';
import { configOfLimit } from '../../nodeagent/slot-config.ts';
import { parseRate } from '../../rate/rate.ts';

const generation = '0123456789ab';
const config = configOfLimit({ egress: parseRate('1M') });
const printed = (bytes: Uint8Array) => Array.from(bytes, (byte) => `0x${byte.toString(16).padStart(2, '0')}`);
const owner = (slot: number, cgroupId: bigint) => ({
  key: printed(encodeU32(slot)),
  value: printed(encodeOwner({ cgroupId, name: `pod/${slot}` })),
});
const mark = (cgroupId: bigint, slot: number) => ({
  key: printed(encodeU64(cgroupId)),
  value: printed(encodeU32(slot)),
});
const configEntry = { key: [], value: printed(encodeConfig(config)) };

/** A bpftool that answers look-ups of configs and counts its runs. */
function lookUps() {
  const asked: string[][] = [];
  const bpftool: Bpftool = {
    run: () => Promise.reject(new Error('not expected')),
    async batch(commands) {
      if (commands.length > 0) asked.push(commands.map((command) => command.at(-4) ?? ''));
      return { outputs: commands.map(() => configEntry) };
    },
  };
  return { asked, bpftool, pins: createPins({ directory: '/pins', bpftool }) };
}

test('slots come with their config, and with whether the cgroup’s traffic counts on them', async () => {
  const { asked, bpftool, pins } = lookUps();
  const outputs = [[owner(2, 20n), owner(1, 10n)], [mark(10n, 1), mark(20n, 0)], [], configEntry, configEntry];
  const { slots, known } = await readingOf(bpftool, pins, generation, [1, 2], outputs);
  expect(slots).toEqual([
    { generation, slot: 1, cgroupId: 10n, owner: 'pod/1', config, marked: true },
    { generation, slot: 2, cgroupId: 20n, owner: 'pod/2', config, marked: false },
  ]);
  expect(known).toEqual(
    new Map([
      [10n, 1],
      [20n, 0],
    ]),
  );
  expect(asked).toEqual([]);
});

test('the configs of slots that were not guessed are looked up, and of no others', async () => {
  const { asked, bpftool, pins } = lookUps();
  await readingOf(
    bpftool,
    pins,
    generation,
    [1, 9],
    [[owner(1, 10n), owner(3, 30n)], [], [], configEntry, configEntry],
  );
  expect(asked).toEqual([['03']]);
});

test('what one dump of the marks misses because a cgroup vanished during it, the other one has', async () => {
  const { bpftool, pins } = lookUps();
  const vanished = { key: printed(encodeU64(30n)), value: { error: 'No such file or directory' } };
  const outputs = [[owner(1, 10n), owner(2, 20n)], [mark(10n, 1), vanished], [mark(20n, 2)], configEntry, configEntry];
  const { slots, known } = await readingOf(bpftool, pins, generation, [1, 2], outputs);
  expect(slots.map(({ marked }) => marked)).toEqual([true, true]);
  expect(known.has(30n)).toBe(false);
});

test('an empty generation has nothing, whichever way bpftool says so', async () => {
  const { bpftool, pins } = lookUps();
  for (const nothing of [null, []]) {
    const reading = await readingOf(bpftool, pins, generation, [], [nothing, nothing, nothing]);
    expect(reading).toEqual({ slots: [], known: new Map() });
  }
  expect(readCommands(pins, generation, [])).toHaveLength(3);
});

test('programs are read in the spelling of every version of bpftool', () => {
  const program = (attach_type: string) => ({ id: 1, attach_type, attach_flags: 'multi', name: 'x' });
  const types = ['egress', 'cgroup_inet_egress', 'sock_ops', 'cgroup_sock_ops', 'cgroup_inet_sock_create'];
  expect(programsOf(types.map(program)).map(({ attachType }) => attachType)).toEqual([
    ...['egress', 'egress', 'sock_ops', 'sock_ops', 'cgroup_inet_sock_create'],
  ]);
  expect(programsOf(null)).toEqual([]);
});

test('attached programs are told apart: this generation’s, another’s, orphans, and those of others', () => {
  const cgroup = { id: 1n, path: '/cg' };
  const program = (id: number, name: string) => ({ id, name, attachType: 'egress', flags: 'multi' });
  const ids = new Map([
    [
      'new',
      new Map([
        ['podrate_egress', 10],
        ['podrate_release', 11],
      ]),
    ],
    ['old', new Map([['podrate_egress', 20]])],
  ]);
  const programs = [program(10, 'podrate_egress'), program(20, 'podrate_egress'), program(30, 'podrate_egress')];
  const { attached, orphans } = sortPrograms(cgroup, [...programs, program(40, 'somebody_elses')], ids);
  expect(attached).toEqual(
    new Map([
      ['new', new Set(['egress'])],
      ['old', new Set(['egress'])],
    ]),
  );
  expect(orphans).toEqual([{ cgroup, attachType: 'egress', programId: 30, program: 'podrate_egress' }]);
});
