import type { ManyScenario, MixtureScenario, TrafficScenario } from '../scenario.ts';
import { bulk } from './bulk.ts';
import { mixture } from './mixtures.ts';
import { rateName } from './names.ts';

const three = ['podrate', 'cni-sane', 'htb'] as const;
const pair = ['podrate', 'cni-sane'] as const;

/** Datagrams at ten times the limit, alone and beside TCP. */
export const floodScenarios: readonly TrafficScenario[] = [1e6, 10e6].flatMap((rate) =>
  [1400, 100].flatMap((size) =>
    [0, 8].map((flows): TrafficScenario => {
      const quick = rate === 1e6 && flows === 8 ? (size === 1400 ? pair : (['podrate'] as const)) : [];
      return {
        ...bulk('egress', [rate, flows, [...three, 'thesis'], quick]),
        name: `egress flood ${rateName(rate)} ${size}B datagrams ${flows} flows`,
        flood: { size, times: 10 },
      };
    }),
  ),
);

/** Flows that pause for a second, in which credit gathers. */
export const pauseScenarios: readonly TrafficScenario[] = [1e6, 10e6].map((rate) => ({
  ...bulk('egress', [rate, 1, [...three, 'thesis'], rate === 10e6 ? ['podrate'] : []]),
  name: `egress pauses ${rateName(rate)} 1 flow`,
  pauses: { on: 1, off: 1 },
  seconds: { quick: 3.2, full: 7.2 },
}));

/** Changes the limit under traffic: 10 to 2 to 20 MB/s. The CNI plugin would need a new pod. */
export const changeScenarios: readonly TrafficScenario[] = (['egress', 'ingress'] as const).flatMap((direction) =>
  [1, 8].map((flows) => ({
    ...bulk(direction, [10e6, flows, ['podrate', 'htb'], flows === 8 && direction === 'egress' ? ['podrate'] : []]),
    name: `${direction} change 10 to 2 to 20MB/s ${flows} ${flows === 1 ? 'flow' : 'flows'}`,
    changes: [
      { at: 1.5, rate: 2e6 },
      { at: 3, rate: 20e6 },
    ],
    seconds: { quick: 4.5, full: 4.5 },
  })),
);

/** A limit for four flows that are already running. */
export const lateScenarios: readonly TrafficScenario[] = [2e6, 10e6].map((rate) => ({
  ...bulk('egress', [rate, 4, pair, rate === 10e6 ? ['podrate'] : []]),
  name: `egress late ${rateName(rate)} 4 running flows`,
  attachAt: 1,
  seconds: { quick: 4, full: 6 },
}));

/** A new connection for each request of 8 KB, out of a limited pod that is its client or its server. */
export const shortScenarios: readonly MixtureScenario[] = (['client', 'server'] as const).map((limited) => {
  const size = limited === 'client' ? { up: 8192, down: 1 } : { up: 100, down: 8192 };
  const client = limited === 'client' ? 'limited' : 'peer';
  return {
    ...mixture('', 'egress', { rate: 2e6 }, { requests: [{ role: 'short', client, ...size, connections: 20 }] }),
    name: `short connections 8KB 20 clients limited ${limited} 2MB/s`,
    peers: three,
    quick: pair,
    seconds: { quick: 3.5, full: 7 },
  };
});

/** The cost of limits before any traffic. */
export const manyScenarios: readonly ManyScenario[] = [1, 10, 100, 250].map((pods) => ({
  kind: 'many',
  name: `attach ${pods} ${pods === 1 ? 'pod' : 'pods'}`,
  rate: 1e6,
  direction: 'egress',
  pods,
  peers: pods === 1 ? ['podrate', 'cni-sane'] : ['podrate'],
  quick: pods === 1 ? ['podrate', 'cni-sane'] : pods === 250 ? ['podrate'] : [],
}));
