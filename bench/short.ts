import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Figures } from './definitions.ts';
import type { Peer } from './peers/peer.ts';
import { type LoadProgram, rows, startProgram } from './process.ts';
import type { ShortScenario } from './scenario.ts';
import { bytesAt, type Point } from './series.ts';
import { percentile } from './statistics.ts';
import type { Testbed } from './testbed.ts';

const PORT = 5003;
const SECOND = 1e6;

/** Runs clients that open a connection for each request: pod a is limited, and the client or the server of pod b. */
export async function runShort(bed: Testbed, scenario: ShortScenario, peer: Peer, seconds: number): Promise<Figures> {
  const { a, b } = bed.pods;
  const { up, down, clients, rate } = scenario;
  const [client, server] = scenario.limited === 'client' ? [a, b] : [b, a];
  const inForce = await peer.limit(bed, a, { [scenario.direction]: rate });
  const started: LoadProgram[] = [];
  const start = async (pod: typeof a, program: string, ...args: (string | number)[]) => {
    const one = await startProgram(pod, join(bed.programs.native, program), args);
    started.push(one);
    return one;
  };
  try {
    const meter = await start(b, 'meter', bed.meterMap, 1);
    await start(server, 'short-server', PORT, up, down);
    const load = await start(client, 'short-client', server.ipv4, PORT, up, down, clients);
    const startUs = Number(process.hrtime.bigint() / 1000n);
    await sleep(seconds * 1000);
    const wire = rows(meter).map(([us = 0, tcp = 0]) => ({ us, bytes: tcp }));
    const done = rows(load).map(([us = 0, tookUs = 0]) => ({ us, tookUs }));
    const from = startUs + SECOND;
    const to = wire.at(-1)?.us ?? from;
    return shortFigures(wire, done, { from, to, rate, bytes: Math.max(up, down) });
  } finally {
    await Promise.all(started.map((program) => program.end()));
    await inForce.remove();
  }
}

/** The figures of requests, each with when it was done and how long it took; -1 when it failed. */
export function shortFigures(
  wire: readonly Point[],
  done: readonly { readonly us: number; readonly tookUs: number }[],
  { from, to, rate, bytes }: { from: number; to: number; rate: number; bytes: number },
): Figures {
  const steady = done.filter(({ us }) => us >= from && us <= to);
  const took = steady.filter(({ tookUs }) => tookUs >= 0).map(({ tookUs }) => tookUs / 1000);
  const limit = (rate * (to - from)) / SECOND;
  return {
    ip: (bytesAt(wire, to) - bytesAt(wire, from)) / limit,
    goodput: (took.length * bytes) / limit,
    request: percentile(took, 0.5),
    requestP99: percentile(took, 0.99),
    failed: done.filter(({ tookUs }) => tookUs < 0).length,
  };
}
