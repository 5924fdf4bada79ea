import { setTimeout as sleep } from 'node:timers/promises';
import type { Pod } from '../../test/lab/lab.ts';
import type { MixtureScenario, RequestLoad } from '../scenario.ts';
import type { LoadProgram } from '../testbed/process.ts';
import { ports } from './ports.ts';
import type { Roles } from './roles.ts';

/** Starts one of the benchmark's load programs in a pod. */
export type Start = (pod: Pod, program: string, ...args: (string | number)[]) => Promise<LoadProgram>;

/** A request load and both of its programs. */
export interface RunningRequests {
  readonly load: RequestLoad;
  readonly client: LoadProgram;
  readonly server: LoadProgram;
}

/** The programs that receive a mixture's load. */
export interface Receivers {
  readonly sink: LoadProgram;
  readonly datagrams: LoadProgram | undefined;
  readonly servers: ReadonlyMap<RequestLoad, LoadProgram>;
}

const IDLE_CONNECTIONS_MS = 500;
const TIMEOUT_MS = 10_000;

const receiverOf = ({ direction }: MixtureScenario, { limited, bulkPeer }: Roles): Pod =>
  direction === 'ingress' ? limited : bulkPeer;

/** Starts the servers and sinks. */
export async function startReceivers(start: Start, scenario: MixtureScenario, roles: Roles): Promise<Receivers> {
  const receiver = receiverOf(scenario, roles);
  const servers = new Map<RequestLoad, LoadProgram>();
  for (const load of scenario.requests) {
    const pod = load.client === 'limited' ? roles.peer : roles.limited;
    servers.set(load, await start(pod, 'request-server', ports[load.role]));
  }
  if (scenario.flood) await start(receiver, 'request-server', ports.flood);
  if (scenario.liar !== undefined) await start(receiver, 'sink', ports.liar);
  return {
    servers,
    sink: await start(receiver, 'sink', ports.bulk),
    datagrams: scenario.offload ? await start(receiver, 'datagram-sink', ports.offload) : undefined,
  };
}

/** Opens the idle connections before any other traffic. */
export async function openIdleConnections(start: Start, scenario: MixtureScenario, roles: Roles): Promise<void> {
  const idle = scenario.requests.filter(({ role }) => role === 'idle');
  for (const load of idle) await startRequests(start, load, roles);
  if (idle.length > 0) await sleep(IDLE_CONNECTIONS_MS);
}

/** Starts the clients, flows and floods. */
export async function startSenders(
  start: Start,
  scenario: MixtureScenario,
  roles: Roles,
  { servers }: Receivers,
): Promise<RunningRequests[]> {
  const receiver = receiverOf(scenario, roles);
  const isIngress = scenario.direction === 'ingress';
  const bulkSender = isIngress ? roles.bulkPeer : roles.limited;
  const { flows, congestion, rate, flood, liar } = scenario;
  if (flows > 0) await start(bulkSender, 'source', receiver.ipv4, ports.bulk, flows, congestion);
  if (scenario.offload) await start(bulkSender, 'datagram-source', receiver.ipv4, ports.offload);
  if (liar !== undefined) await start(roles.flooder, 'raw-tcp', 'data', receiver.ipv4, ports.liar, liar * rate);
  if (flood?.kind === 'udp') await start(roles.flooder, 'flood', receiver.ipv4, ports.flood, 1400, flood.times * rate);
  else if (flood) await start(roles.flooder, 'raw-tcp', flood.kind, receiver.ipv4, ports.flood, flood.times * rate);
  const running: RunningRequests[] = [];
  for (const [load, server] of servers) {
    if (load.role !== 'idle') running.push({ load, server, client: await startRequests(start, load, roles) });
  }
  return running;
}

function startRequests(start: Start, load: RequestLoad, { limited, peer }: Roles): Promise<LoadProgram> {
  const [client, server] = load.client === 'limited' ? [limited, peer] : [peer, limited];
  const [least, most] = typeof load.down === 'number' ? [load.down, load.down] : load.down;
  const size = [load.up, least, most, load.connections];
  // Idle connections ask nothing for as long as any run lasts.
  const perSecond = load.role === 'idle' ? 1e-6 : (load.perSecond ?? 0);
  const how = [perSecond, load.keep ? 1 : 0, load.timeoutMs ?? TIMEOUT_MS];
  return start(client, 'request-client', server.ipv4, ports[load.role], ...size, ...how);
}
