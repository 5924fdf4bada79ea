import { expect, test } from 'vitest';
import { containerdBurst, pluginConfig, saneBurst } from '../../bench/peers/cni-config.ts';

const pod = { netnsPath: '/var/run/netns/pod', hostDevice: 'port-a' };

test('the plugin gets rates and bursts in bits, only of the directions that are limited', () => {
  expect(pluginConfig(pod, { egress: 1e6 }, saneBurst)).toMatchObject({
    type: 'bandwidth',
    runtimeConfig: { bandwidth: { egressRate: 8e6, egressBurst: 64 * 1024 * 8 } },
  });
  expect(JSON.stringify(pluginConfig(pod, { egress: 1e6 }, saneBurst))).not.toContain('ingress');
});

test('containerd passes 2^32-1 bits whatever the rate', () => {
  expect(pluginConfig(pod, { ingress: 1e6 }, containerdBurst)).toMatchObject({
    runtimeConfig: { bandwidth: { ingressRate: 8e6, ingressBurst: 4_294_967_295 } },
  });
});

test('a sane burst is ten milliseconds and at least the largest packet', () => {
  expect(saneBurst(625e6)).toBe(6.25e6);
  expect(saneBurst(1e6)).toBe(65_536);
});

test('the plugin is told which device the plugins before it made', () => {
  expect(pluginConfig(pod, { egress: 1e6 }, saneBurst)).toMatchObject({
    prevResult: { interfaces: [{ name: 'port-a' }, { name: 'eth0', sandbox: '/var/run/netns/pod' }] },
  });
});
