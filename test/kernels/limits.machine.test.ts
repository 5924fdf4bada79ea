import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Check } from '../../nodeagent/preflight/checks.ts';
import { defaultCache } from '../cluster/config.ts';
import type { KernelVersion } from '../cluster/kernel.ts';
import { installPackages } from '../cluster/packages.ts';
import { buildMachine, LIMIT, runChecks } from './machine.ts';
import { type Recording, readRecording, receivedRate, resent } from './recording.ts';

/**
 * What is done about connections that are older than a limit: what doctor says of it; what the iterator prints of four, whose
 * callbacks podrate attach may have turned on already; how much of the limit they get at least.
 */
const older: Record<KernelVersion, { says: string; prints: RegExp; atLeast: number }> = {
  '5.10': { says: 'held by dropping until they close', prints: /^$/, atLeast: 0.2 },
  '6.1': { says: 'get it as a fixed pacing rate each', prints: /^ffff$/, atLeast: 0.6 },
  '6.12': { says: 'are paced like new ones', prints: /^c{0,4}$/, atLeast: 0.7 },
};
// An emulated processor has hiccups: they cost bytes, and a reader that had to wait for its turn finds more in its buffer, and has it
// counted, than came in the time.
const atLeast = 0.7;
const atMost = 1.15;
// Without a queue in front only dropping is left, and TCP gets a part of the limit.
const policedAtLeast = 0.3;

const report = (text: string) => console.log(text);
const context = (step: string) => ({ step, log: join(tmpdir(), 'podrate-kernels.log') });

describe.each(Object.keys(older) as KernelVersion[])('Linux %s', (version) => {
  let recording: Recording;
  const command = (name: string) => recording.commands.get(name) ?? { status: NaN, output: `${name} did not run` };

  beforeAll(async () => {
    const cache = defaultCache();
    await installPackages(['node'], context('packages'), report);
    const parts = await buildMachine(cache, context('machine'), report);
    const text = await runChecks(cache, { version, ...parts }, context(`linux-${version}`), report);
    recording = readRecording(text);
  });

  test('loads the programs, and podrate doctor says so and what is taken for what the kernel lacks', () => {
    const { status, output } = command('doctor');
    expect(status, output).toBe(0);
    const checks: Check[] = JSON.parse(output);
    expect(checks.find(({ name }) => name === 'kernel')).toMatchObject({ result: 'ok' });
    expect(checks.find(({ name }) => name === 'namespaces')).toMatchObject({ result: 'warning' });
    const more: Check[] = JSON.parse(command('doctor-namespaces').output);
    expect(more.find(({ name }) => name === 'older-connections')?.found).toContain(older[version].says);
  });

  test('takes 64 KB of locked memory for enough only where BPF maps do not count as locked', () => {
    const { status, output } = command('doctor-bounded');
    const failed = (JSON.parse(output) as Check[]).filter(({ result }) => result === 'failed');
    if (version === '5.10') {
      expect(failed).toMatchObject([{ name: 'locked-memory', found: expect.stringMatching(/^65536 bytes/) }]);
      expect(status).toBe(3);
    } else expect([failed, status]).toEqual([[], 0]);
  });

  test('marks what the cgroup sends with a code point, over IPv4 and IPv6, and nothing else in its namespace', () => {
    expect(JSON.parse(command('doctor-namespaces').output)).toContainEqual(
      expect.objectContaining({ name: 'marks', result: 'ok' }),
    );
    const { status, output } = command('marked');
    expect(status, output).toBe(0);
    const packets = output.split(/\n(?=\d\d:)/).filter((packet) => packet.includes('UDP'));
    const seen = packets.map((packet) => {
      const [, dscpAndEcn] = /(?:tos|class) (0x[\da-f]+)/.exec(packet) ?? [];
      return {
        ip: packet.includes('IP6') ? 6 : 4,
        port: Number(/\.(9|10): /.exec(packet)?.[1]),
        byte: dscpAndEcn ?? '0x0',
      };
    });
    expect(seen).toEqual([
      { ip: 4, port: 9, byte: '0xb8' },
      { ip: 6, port: 9, byte: '0xb8' },
      { ip: 4, port: 10, byte: '0x0' },
    ]);
  });

  test.each(['attach', 'set', 'mark', 'detach'])('podrate %s does its work', (name) => {
    const { status, output } = command(name);
    expect(status, output).toBe(0);
  });

  test('could send far more than the limit, without it and after detach, on unbroken connections', () => {
    for (const name of ['unlimited', 'detached']) {
      expect(receivedRate(recording, 'peer', name), name).toBeGreaterThan(10 * LIMIT);
    }
    expect(recording.events.has('unbroken')).toBe(true);
    expect(command('attached').output).not.toMatch(/podrate_(egress|ingress|sockops)/);
  });

  test.each([
    ['one TCP connection out', 'egress-1', 'peer', LIMIT, atLeast],
    ['eight TCP connections out', 'egress-8', 'peer', LIMIT, atLeast],
    ['eight TCP connections out, the limit doubled meanwhile', 'changed', 'peer', 2 * LIMIT, atLeast],
    ['one TCP connection in, policed', 'ingress-1', 'pod', LIMIT, policedAtLeast],
    ['eight TCP connections in, policed', 'ingress-8', 'pod', LIMIT, policedAtLeast],
    ['a UDP flood out', 'udp-egress', 'peer', LIMIT, atLeast],
    ['a UDP flood in', 'udp-ingress', 'pod', LIMIT, atLeast],
  ])('%s: the limit holds', (_, name, sink, limit, least) => {
    const ratio = receivedRate(recording, sink, name) / limit;
    expect(ratio).toBeGreaterThan(least);
    expect(ratio).toBeLessThan(atMost);
  });

  test('a queue is installed with the limit, and goes with it', () => {
    for (const name of ['queue', 'queue-set', 'queue-detach'])
      expect(command(name).status, command(name).output).toBe(0);
    const kinds = command('queue-kinds')
      .output.split('\n')
      .map((line) => line.split(' ')[1]);
    expect(kinds.filter(Boolean)).toEqual(['htb', 'bfifo', 'bfifo', 'bfifo', 'bfifo']);
    expect(command('queue-gone').output).not.toContain('htb');
  });

  test.each([
    ['queue-8', LIMIT],
    ['queue-changed', 2 * LIMIT],
  ])('through the queue senders get the limit, and the floor under it drops next to nothing: %s', (name, limit) => {
    const ratio = receivedRate(recording, 'pod', name) / limit;
    expect(ratio).toBeGreaterThan(atLeast);
    expect(ratio).toBeLessThan(atMost);
    const [{ counters }] = JSON.parse(command('queue-list').output);
    expect(counters.ingress.dropped.packets).toBeLessThan(0.02 * counters.ingress.passed.packets);
  });

  test('what is paced is not dropped: next to nothing is sent again', () => {
    expect(resent(recording, 'egress-1') + resent(recording, 'egress-8')).toBeLessThan(10);
  });

  test('four connections that are older than the limit are held by it, in the way the kernel allows', () => {
    const lines = command('adopt-1').output.split('\n');
    expect(lines.filter((line) => /^[cf]$/.test(line)).join('')).toMatch(older[version].prints);
    const ratio = receivedRate(recording, 'peer', 'older') / LIMIT;
    expect(ratio).toBeLessThan(atMost);
    expect(ratio).toBeGreaterThan(older[version].atLeast);
  });
});
