import { execa } from 'execa';
import { afterEach, expect, test } from 'vitest';
import { mixture } from '../../bench/scenarios/mixtures.ts';
import type { Pod } from '../lab/lab.ts';
import { useMixtures } from './mixtures/mixtures.ts';

const mixtures = useMixtures();
const flow = (direction: 'ingress' | 'egress') => mixture('bulk', direction, { rate: 1e6 }, { flows: 1 });

const inNetwork = (pod: Pod, ...command: string[]) => execa('nsenter', [`--net=${pod.netnsPath}`, ...command]);

afterEach(async () => {
  for (const pod of Object.values(mixtures.bed().pods)) {
    await inNetwork(pod, 'iptables', '-F');
    await inNetwork(pod, 'nft', 'flush', 'ruleset');
  }
});

/** Drops segments with an experimental option, as strict firewalls do. */
const firewalls = {
  iptables: (pod: Pod) => inNetwork(pod, ...'iptables -A INPUT -p tcp --tcp-option 253 -j DROP'.split(' ')),
  nftables: async (pod: Pod) => {
    await inNetwork(pod, ...'nft add table ip strict'.split(' '));
    const hook = '{ type filter hook input priority 0; }';
    await inNetwork(pod, 'nft', `add chain ip strict input ${hook}`);
    await inNetwork(pod, 'nft', 'add rule ip strict input tcp option 253 exists drop');
  },
} as const;

test.each(
  (['ingress', 'egress'] as const).flatMap((direction) =>
    (['iptables', 'nftables'] as const).map((firewall) => ({ direction, firewall })),
  ),
)('$direction: a flow passes $firewall that drops unknown TCP options', async ({ direction, firewall }) => {
  for (const pod of Object.values(mixtures.bed().pods)) await firewalls[firewall](pod);
  const figures = await mixtures.run(flow(direction));
  expect(figures.bulkGoodput).toBeGreaterThan(0.8);
});
