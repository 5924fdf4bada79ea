import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pod } from '../../test/lab/lab.ts';
import type { Ping, Recording } from '../figures/recording.ts';
import type { InForce, Peer, PeerLimit } from '../peers/peer.ts';
import type { TrafficScenario } from '../scenario.ts';
import { networkSeconds, readCpu } from './cpu.ts';
import { type LoadProgram, rows, startProgram } from './process.ts';
import { measurePrograms } from './program-times.ts';
import type { Testbed } from './testbed.ts';

const PORT = 5001;
const PING_PORT = 5002;
const IDLE_MS = 400;
const PROGRAMS_MS = 300;

const nowUs = () => Number(process.hrtime.bigint() / 1000n);

/** Runs one scenario with one peer and returns its recording; leaves the testbed as it was. */
export async function runTraffic(
  bed: Testbed,
  scenario: TrafficScenario,
  peer: Peer,
  seconds: number,
): Promise<Recording> {
  const { a, b, c, far } = bed.pods;
  const sender = scenario.sender === 'far' ? far : a;
  const [limited, beside, target] = scenario.direction === 'egress' ? [a, c, b] : [b, c, a];
  const limitOf = (rate: number): PeerLimit => ({ [scenario.direction]: rate });
  const started: LoadProgram[] = [];
  const start = async (pod: Pod, program: string, ...args: (string | number)[]) => {
    const one = await startProgram(pod, join(bed.programs.native, program), args);
    started.push(one);
    return one;
  };
  let inForce: InForce | undefined;
  const events: number[] = [];
  const putOn = async () => {
    inForce = await peer.limit(bed, limited, limitOf(scenario.rate));
  };
  try {
    if (scenario.attachAt === undefined) await putOn();
    const [sink, meter] = await Promise.all([
      start(b, 'sink', PORT),
      start(b, 'meter', bed.meterMap, addressOctet(sender)),
      start(b, 'ping', 'server', PING_PORT),
      ...(target === a ? [start(a, 'ping', 'server', PING_PORT)] : []),
    ]);
    // A ping every 10 ms would be a fifth of the lowest limit.
    const period = scenario.rate < 1e6 ? 50 : 10;
    const pingFrom = scenario.direction === 'egress' ? limited : a;
    const pings = await Promise.all([
      start(pingFrom, 'ping', 'client', b[scenario.family], PING_PORT, period),
      start(beside, 'ping', 'client', target[scenario.family], PING_PORT, period),
    ]);
    await sleep(IDLE_MS);

    const startUs = nowUs();
    const at = (second: number) => sleep(Math.max(0, startUs / 1000 + second * 1000 - performanceNow()));
    const turns = scenario.pauses ? [scenario.pauses.on * 1000, scenario.pauses.off * 1000] : [];
    const source = await start(
      sender,
      'source',
      b[scenario.family],
      PORT,
      scenario.flows,
      scenario.congestion,
      ...turns,
    );
    const { flood } = scenario;
    if (flood) await start(sender, 'flood', b[scenario.family], PORT, flood.size, flood.times * scenario.rate);
    const load = new Set(started.map(({ pid }) => pid));
    const cpu = at(1).then(() => readCpu(load));
    if (scenario.attachAt !== undefined) {
      await at(scenario.attachAt);
      events.push(nowUs());
      await putOn();
      await inForce?.adopt?.();
    }
    for (const change of scenario.changes ?? []) {
      await at(change.at);
      events.push(nowUs());
      await inForce?.change?.(limitOf(change.rate));
    }
    await at(seconds);
    const cpuSeconds = networkSeconds(await cpu, await readCpu(load));
    const endUs = nowUs();
    // Counting costs time, so it comes after everything else.
    const programs = await measurePrograms(bed.shaper, () => sleep(PROGRAMS_MS));
    await Promise.all(pings.map((ping) => ping.finish()));
    const { stalls } = (await sink.ask()) as { stalls: number[] };
    const sent = (await source.ask()) as Recording['source'];
    return {
      startUs,
      endUs,
      stalls,
      source: sent,
      cpuSeconds,
      events,
      programs,
      wire: rows(meter).map(([us = 0, tcp = 0, udp = 0, all = 0]) => ({ us, tcp, udp, all })),
      goodput: rows(sink).map(([us = 0, ...flows]) => ({ us, flows })),
      pings: { limited: pingsOf(pings[0]), other: pingsOf(pings[1]) },
    };
  } finally {
    await Promise.all(started.map((program) => program.end()));
    await inForce?.remove();
  }
}

const performanceNow = () => nowUs() / 1000;
const addressOctet = (pod: Pod) => Number(pod.ipv4.split('.').at(-1));
const pingsOf = (program: LoadProgram): Ping[] =>
  rows(program).map(([us = 0, answeredAfterUs = 0]) => ({ us, answeredAfterUs }));
