import type { Figures } from '../figures/definitions.ts';
import { type Point, rateBetween } from '../figures/series.ts';
import { percentile, sum } from '../figures/statistics.ts';
import type { MixtureScenario } from '../scenario.ts';
import { ports, serviceOf } from './ports.ts';
import type { MixtureRecording, RequestRecording } from './recording.ts';

const SECOND = 1e6;
const SEGMENT = 1500;

/** Computes a mixture's figures, from one second after its start on. */
export function mixtureFigures(recording: MixtureRecording, scenario: MixtureScenario): Figures {
  const { services, startUs } = recording;
  const from = startUs + SECOND;
  const to = Math.min(recording.endUs, services.at(-1)?.us ?? 0);
  const share = (points: readonly Point[]) => rateBetween(points, from, to) / scenario.rate;
  const wire = (...of: number[]) =>
    share(services.map(({ us, bytes }) => ({ us, bytes: sum(of.map((service) => bytes[service] ?? 0)) })));
  const requests = recording.requests.filter(({ load }) => load.role === 'short');
  const probes = recording.requests.filter(({ load }) => load.role === 'probe');
  const read = share(recording.bulk.map(({ us, flows }) => ({ us, bytes: sum(flows) })));
  const bulk = wire(serviceOf(ports.bulk));
  const short = wire(serviceOf(ports.short));
  return {
    ip: share(services.map(({ us, bytes }) => ({ us, bytes: sum(bytes) }))),
    ...(scenario.flows > 0 ? { bulk, bulkGoodput: read } : {}),
    ...(requests.length > 0 ? { short, used: bulk + short, ...requestFigures(requests, from) } : {}),
    goodput: read + share(recording.datagrams) + sum(requests.map(({ received }) => share(received))),
    ...(scenario.offload || scenario.flood?.kind === 'udp' ? { udp: wire(0) } : {}),
    ...(scenario.liar === undefined ? {} : { liar: wire(serviceOf(ports.liar)) }),
    ...recording.programs,
    ...lossFigures(recording, scenario),
    ...pingFigures(recording, from),
    ...(probes.length > 0 ? { probeFailed: sum(probes.map(({ done }) => failures(done))) } : {}),
  };
}

const failures = (done: RequestRecording['done']) => done.filter(({ tookUs }) => tookUs < 0).length;

/** A request that still waits counts with the time that it has waited. */
function requestFigures(requests: readonly RequestRecording[], from: number): Figures {
  const steady = requests.flatMap(({ done }) => done).filter(({ us }) => us >= from);
  const took = steady.filter(({ tookUs }) => tookUs >= 0).map(({ tookUs }) => tookUs / 1000);
  return {
    request: percentile(took, 0.5),
    requestP99: percentile(took, 0.99),
    failed: sum(requests.map(({ done }) => failures(done))),
    done: steady.filter(({ bytes }) => bytes > 0).length,
  };
}

function lossFigures({ segments: [first, last] }: MixtureRecording, { rate }: MixtureScenario): Figures {
  if (first === undefined || last === undefined) return {};
  const resent = last.resent - first.resent;
  // The kernel's count of what was sent leaves retransmitted segments out.
  const sent = last.sent - first.sent + resent;
  const seconds = (last.us - first.us) / SECOND;
  return {
    resent: sent > 0 ? (100 * resent) / sent : 0,
    lost: (resent * SEGMENT) / (rate * seconds),
  };
}

function pingFigures({ pings, startUs, endUs }: MixtureRecording, from: number): Figures {
  // A ping that waits for seconds counts in all the time that it waits.
  const of = (least: number, most: number, part: number) =>
    percentile(
      pings
        .filter((ping) => ping.us + ping.answeredAfterUs >= least && ping.us < most)
        .map((ping) => ping.answeredAfterUs),
      part,
    ) / 1000;
  return { idlePing: of(0, startUs, 0.5), ping: of(from, endUs, 0.5), pingP99: of(from, endUs, 0.99) };
}
