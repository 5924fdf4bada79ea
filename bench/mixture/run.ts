import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setCongestionControl } from '../../test/lab/network.ts';
import { readStatistic } from '../../test/lab/traffic/meter.ts';
import type { Peer } from '../peers/peer.ts';
import type { MixtureScenario } from '../scenario.ts';
import { type LoadProgram, rows, startProgram } from '../testbed/process.ts';
import { measurePrograms } from '../testbed/program-times.ts';
import type { Testbed } from '../testbed/testbed.ts';
import { openIdleConnections, type Start, startReceivers, startSenders } from './loads.ts';
import { ports } from './ports.ts';
import type { MixtureRecording, SegmentCount } from './recording.ts';
import { rolesOf } from './roles.ts';

const PING_PERIOD_MS = 20;
const IDLE_MS = 400;

const nowUs = () => Number(process.hrtime.bigint() / 1000n);

/** Runs one mixture with one peer and returns its recording; leaves the testbed as it was. */
export async function runMixture(
  bed: Testbed,
  scenario: MixtureScenario,
  peer: Peer,
  seconds: number,
): Promise<MixtureRecording> {
  const roles = rolesOf(bed, scenario);
  const { limited } = roles;
  for (const pod of Object.values(bed.pods)) await setCongestionControl(pod, scenario.congestion);
  const started: LoadProgram[] = [];
  const start: Start = async (pod, program, ...args) => {
    const one = await startProgram(pod, join(bed.programs.native, program), args);
    started.push(one);
    return one;
  };
  const senders = scenario.direction === 'ingress' ? [...new Set([roles.bulkPeer, roles.peer])] : [limited];
  const readSegments = async (): Promise<SegmentCount> => {
    const count = async (name: string) => {
      const counts = await Promise.all(senders.map((pod) => readStatistic(pod, 'Tcp', name)));
      return counts.reduce((sum, one) => sum + one, 0);
    };
    return { us: nowUs(), sent: await count('OutSegs'), resent: await count('RetransSegs') };
  };
  const inForce = await peer.limit(bed, limited, { [scenario.direction]: scenario.rate });
  try {
    const meter = await start(limited, 'meter', bed.meterMap);
    const receivers = await startReceivers(start, scenario, roles);
    await start(limited, 'ping', 'server', ports.ping);
    const ping = await start(roles.peer, 'ping', 'client', limited.ipv4, ports.ping, PING_PERIOD_MS);
    await openIdleConnections(start, scenario, roles);
    await sleep(IDLE_MS);
    const startUs = nowUs();
    const requests = await startSenders(start, scenario, roles, receivers);
    await sleep(1000);
    const segments = [await readSegments()];
    const rest = () => sleep(Math.max(0, seconds * 1000 - (nowUs() - startUs) / 1000));
    const programs = await measurePrograms(bed.shaper, rest);
    segments.push(await readSegments());
    const endUs = nowUs();
    await Promise.all([ping, ...requests.map(({ client }) => client)].map((program) => program.finish()));
    return {
      startUs,
      endUs,
      segments,
      programs,
      services: rows(meter).map(([us = 0, ...bytes]) => ({ us, bytes })),
      bulk: rows(receivers.sink).map(([us = 0, ...flows]) => ({ us, flows })),
      datagrams: receivers.datagrams ? rows(receivers.datagrams).map(([us = 0, bytes = 0]) => ({ us, bytes })) : [],
      requests: requests.map(({ load, client, server }) => ({
        load,
        done: rows(client)
          .filter(({ length }) => length === 3)
          .map(([us = 0, tookUs = 0, bytes = 0]) => ({ us, tookUs, bytes })),
        received: rows((load.client === 'limited') === (scenario.direction === 'ingress') ? client : server)
          .filter(({ length }) => length === 2)
          .map(([us = 0, bytes = 0]) => ({ us, bytes })),
      })),
      pings: rows(ping).map(([us = 0, answeredAfterUs = 0]) => ({ us, answeredAfterUs })),
    };
  } finally {
    await Promise.all(started.map((program) => program.end()));
    await inForce.remove();
  }
}
