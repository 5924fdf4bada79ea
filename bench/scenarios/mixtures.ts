import type { PeerName } from '../peers/all.ts';
import type { MixtureScenario, RequestLoad } from '../scenario.ts';
import { rateName } from './names.ts';

/** The loads of a mixture, without limit, path and congestion control. */
export type Mixture = Partial<
  Pick<MixtureScenario, 'flows' | 'requests' | 'offload' | 'flood' | 'liar' | 'seconds' | 'peers' | 'quick'>
>;
type Direction = MixtureScenario['direction'];
/** Limit, path and congestion control of a mixture. */
export interface Setting {
  readonly rate: number;
  readonly congestion?: MixtureScenario['congestion'];
  readonly path?: MixtureScenario['path'];
}

const AT_ONCE = 16_384;
const pair = ['podrate', 'cni-sane'] as const;

/** Builds a mixture; `what` is the first part of its name. */
export function mixture(what: string, direction: Direction, setting: Setting, parts: Mixture): MixtureScenario {
  const { rate, congestion = 'cubic', path = 'near' } = setting;
  const how = [congestion, path].filter((word) => word !== 'cubic' && word !== 'near').map((word) => ` ${word}`);
  return {
    kind: 'mixture',
    name: `mixture ${direction} ${rateName(rate)} ${what}${how.join('')}`,
    rate,
    direction,
    congestion,
    path,
    flows: 0,
    requests: [],
    peers: pair,
    seconds: { quick: 4, full: 7 },
    ...parts,
  };
}

/** New connections to the limited pod at a fixed rate, with 100 bytes each way. */
export const shortConnections = (perSecond: number): RequestLoad => ({
  role: 'short',
  client: 'peer',
  up: 100,
  down: 100,
  connections: AT_ONCE,
  perSecond,
});

/** Connections to the limited pod without data. */
export const idleConnections = (connections: number): RequestLoad => ({
  role: 'idle',
  client: 'peer',
  up: 100,
  down: 100,
  connections,
  keep: true,
});

/** Objects that the limited pod downloads or uploads, each over a new connection. */
export const transfers = (direction: Direction, bytes: number, connections: number): RequestLoad => ({
  role: 'short',
  client: 'limited',
  ...(direction === 'ingress' ? { up: 100, down: bytes } : { up: bytes, down: 1 }),
  connections,
});

/** Keep-alive clients with answers of 1 to 100 KB in the limited direction. */
const keepAlive = (direction: Direction): RequestLoad => ({
  role: 'short',
  client: direction === 'ingress' ? 'limited' : 'peer',
  up: 200,
  down: [1000, 100_000],
  connections: 50,
  keep: true,
});

/** A message each second on each of 500 connections. */
const messages: RequestLoad = {
  role: 'short',
  client: 'peer',
  up: 100,
  down: 100,
  connections: 500,
  perSecond: 500,
  keep: true,
};

/** A kubelet's HTTP probe: every two seconds, with a time-out of one. */
const probe: RequestLoad = {
  role: 'probe',
  client: 'peer',
  up: 150,
  down: 150,
  connections: 16,
  perSecond: 0.5,
  timeoutMs: 1000,
};

/** New connections at a fixed rate, with 100 KB in the limited direction. */
const heavyConnections = (direction: Direction, perSecond: number): RequestLoad => ({
  role: 'short',
  client: 'peer',
  ...(direction === 'ingress' ? { up: 100_000, down: 100 } : { up: 100, down: 100_000 }),
  connections: AT_ONCE,
  perSecond,
});

/** The mixtures of all settings, with the words of their names. */
function everywhere(direction: Direction): readonly [what: string, parts: Mixture][] {
  return [
    ...[1, 8].map((flows): [string, Mixture] => [`${flows} bulk`, { flows }]),
    ...[1, 8].flatMap((flows) =>
      [20, 100, 300, 1000].map((perSecond): [string, Mixture] => [
        `${flows} bulk beside ${perSecond}/s`,
        { flows, requests: [shortConnections(perSecond)] },
      ]),
    ),
    ...[1, 8].map((flows): [string, Mixture] => [
      `${flows} bulk beside 1000 idle`,
      { flows, requests: [idleConnections(1000)] },
    ]),
    ...[1e3, 10e3, 100e3, 1e6].flatMap((bytes) =>
      [1, 8, 32].map((clients): [string, Mixture] => [
        `transfers ${bytes / 1e3}KB ${clients} clients`,
        { requests: [transfers(direction, bytes, clients)] },
      ]),
    ),
    ['keep-alive 50 clients', { requests: [keepAlive(direction)] }],
    ['1 bulk beside 500 messages/s', { flows: 1, requests: [messages] }],
    ['datagrams with offload', { offload: true }],
    ['4 bulk beside a liar', { flows: 4, liar: 2 }],
  ];
}

/** At higher limits one machine cannot generate enough packets for a flood. */
const floods = (['syn', 'ack', 'udp'] as const).flatMap((kind) =>
  [
    { rate: 1e6, times: 1 },
    { rate: 1e6, times: 10 },
    { rate: 10e6, times: 1 },
  ].map(({ rate, times }) => ({ rate, flood: { kind, times } })),
);

const settings: readonly Setting[] = [1e6, 10e6, 125e6].flatMap((rate) =>
  (['cubic', 'bbr'] as const).flatMap((congestion) =>
    (['near', 'far'] as const).map((path) => ({ rate, congestion, path })),
  ),
);

/** Five minutes of probes in one setting, a few probes in the others. */
const probes = (direction: Direction) =>
  settings
    .filter(({ rate }) => rate === 1e6)
    .map((setting) => {
      const full = direction === 'ingress' && setting.congestion === 'cubic' && setting.path === 'near' ? 300 : 20;
      const parts = { requests: [heavyConnections(direction, 200), probe], seconds: { quick: 8, full } };
      return mixture('probe beside 200/s of 100KB', direction, setting, parts);
    });

/** The mixtures of --quick. */
const quickNames: readonly string[] = [
  'mixture ingress 1MB/s 1 bulk beside 100/s',
  'mixture egress 1MB/s 1 bulk beside 100/s',
  'mixture ingress 1MB/s transfers 10KB 8 clients',
  'mixture ingress 1MB/s 1 bulk beside syn flood 1x',
];

/** Every kind of mixed traffic in both directions, at three rates, with two congestion controls, near and 20 ms away. */
export const mixtureScenarios: readonly MixtureScenario[] = (['ingress', 'egress'] as const)
  .flatMap((direction) => [
    ...settings.flatMap((setting) =>
      everywhere(direction).map(([what, parts]) => mixture(what, direction, setting, parts)),
    ),
    ...floods.map(({ rate, flood }) =>
      mixture(
        `1 bulk beside ${flood.kind} flood ${flood.times}x`,
        direction,
        { rate },
        { flows: 1, requests: [shortConnections(20)], flood },
      ),
    ),
    ...probes(direction),
  ])
  .map((scenario) => ({
    ...scenario,
    peers: peersOf(scenario),
    quick: quickNames.includes(scenario.name) ? pair : [],
  }));

/** Only an ingress limit has a queue, so only there the limit without it is compared. */
function peersOf({ direction, path, congestion }: MixtureScenario): readonly PeerName[] {
  const isPlain = path === 'near' && congestion === 'cubic';
  return direction === 'ingress' && isPlain ? ['podrate', 'podrate-policed', 'cni-sane'] : pair;
}
