import type { PeerName } from '../peers/all.ts';
import type { TrafficScenario } from '../scenario.ts';
import { rateName } from './names.ts';

const shapers = ['podrate', 'cni-sane', 'htb', 'drop'] as const;
const receivers = ['podrate', 'podrate-policed', 'cni-sane', 'htb', 'drop'] as const;
const everybody = ['podrate', 'cni', 'cni-sane', 'htb', 'drop', 'thesis', 'none'] as const;
const pair = ['podrate', 'cni-sane'] as const;
const farPeers = ['podrate', 'podrate-policed', 'cni-sane'] as const;
const picture = ['podrate', 'cni', 'cni-sane', 'thesis'] as const;
/** Many flows take a second or two to find their shares. */
const secondsOf = (flows: number) => ({ quick: flows >= 100 ? 4 : 2.4, full: flows >= 100 ? 8 : 6 });

type Row = [rate: number, flows: number, peers: readonly PeerName[], quick?: readonly PeerName[]];

/** Long flows at every rate. The thesis measured 1, 5 and 10 MB/s with one flow. */
const egress: readonly Row[] = [
  [100e3, 1, shapers, ['podrate']],
  [100e3, 8, shapers],
  [1e6, 1, everybody, picture],
  [1e6, 8, everybody, pair],
  [1e6, 100, shapers],
  [5e6, 1, everybody, picture],
  [5e6, 8, shapers],
  [5e6, 100, shapers, ['podrate']],
  [10e6, 1, everybody, [...picture, 'htb']],
  [10e6, 8, everybody, pair],
  [10e6, 100, shapers],
  [125e6, 1, everybody, pair],
  [125e6, 8, everybody, pair],
  [625e6, 1, everybody, pair],
  [625e6, 8, everybody, pair],
];
const ingress: readonly Row[] = [
  [1e6, 1, pair],
  [1e6, 8, receivers],
  [10e6, 1, shapers],
  [10e6, 8, receivers, ['podrate', 'podrate-policed', 'cni-sane']],
  [125e6, 1, pair],
  [125e6, 8, shapers],
  [625e6, 8, pair],
];

/** Long flows in both directions. */
export const bulkScenarios: readonly TrafficScenario[] = [
  ...egress.map((row) => bulk('egress', row)),
  ...egress.filter(([rate, flows]) => rate >= 1e6 && flows < 100).map((row) => forBbr('egress', row)),
  ...([1, 8] as const).map((flows) =>
    bulk('egress', [10e6, flows, pair, flows === 8 ? ['podrate'] : []], { family: 'ipv6' }),
  ),
  ...ingress.map((row) => bulk('ingress', row)),
  ...ingress.map((row) => forBbr('ingress', row)),
  bulk('ingress', [10e6, 8, pair], { family: 'ipv6' }),
];

/** Beyond what one limit can hold apart: 300 flows. */
export const crowdScenario: TrafficScenario = bulk('egress', [1e6, 300, pair, ['podrate']]);

/** Senders 20 ms away. */
export const farScenarios: readonly TrafficScenario[] = (['cubic', 'bbr'] as const).flatMap((congestion) =>
  [1, 8].map((flows) => {
    const quick = flows === 8 && congestion === 'cubic' ? farPeers : [];
    return bulk('ingress', [10e6, flows, farPeers, quick], { congestion, sender: 'far' });
  }),
);

/** Builds one scenario of long flows. */
export function bulk(
  direction: 'egress' | 'ingress',
  [rate, flows, peers, quick = []]: Row,
  more: Partial<TrafficScenario> = {},
): TrafficScenario {
  const { congestion = 'cubic', family = 'ipv4', sender = 'near' } = more;
  const where = sender === 'near' ? '' : ` ${sender}`;
  const how = [congestion, family].filter((word) => word !== 'cubic' && word !== 'ipv4').map((word) => ` ${word}`);
  return {
    kind: 'traffic',
    name: `${direction}${where} ${rateName(rate)} ${flows} ${flows === 1 ? 'flow' : 'flows'}${how.join('')}`,
    ...{ rate, flows, direction, peers, quick, congestion, family, sender, seconds: secondsOf(flows) },
    ...more,
  };
}

function forBbr(direction: 'egress' | 'ingress', [rate, flows, peers]: Row): TrafficScenario {
  const kept = peers.filter((peer) => peer !== 'none' && peer !== 'drop');
  return bulk(direction, [rate, flows, kept, rate === 10e6 && flows === 8 ? ['podrate'] : []], { congestion: 'bbr' });
}
