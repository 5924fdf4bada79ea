import { hostname } from 'node:os';
import { expect, test } from 'vitest';
import { ConfigError, readConfig, usage } from '../../nodeagent/config.ts';

test('without anything the defaults hold', () => {
  expect(readConfig([], {})).toEqual({
    ...{
      nodeName: hostname(),
      port: 8081,
      resyncSeconds: 60,
      startupTaint: false,
      uninstall: false,
      help: false,
      exempt: [],
      ingressQueue: true,
      address: '127.0.0.1',
      netnsDir: '/run/netns',
    },
    pinDir: '/sys/fs/bpf/podrate',
    cgroupRoot: undefined,
    releaseCgroup: undefined,
    bpfObject: new URL('../../bpf/shaper.bpf.o', import.meta.url).pathname,
  });
});

test('the environment is read, and the command line wins over it', () => {
  const environment = { NODE_NAME: 'from-env', PORT: '1234', PIN_DIR: '/sys/fs/bpf/other', CGROUP_ROOT: '/kubelet' };
  const config = readConfig(['--node-name', 'from-flag', '--resync-seconds', '5'], environment);
  expect(config).toMatchObject({
    ...{ nodeName: 'from-flag', port: 1234, resyncSeconds: 5, pinDir: '/sys/fs/bpf/other', cgroupRoot: '/kubelet' },
  });
});

test.each([
  [['--port', '70000'], 'must be a whole number from 0 to 65535'],
  [['--port', 'x'], 'must be a whole number from 0 to 65535'],
  [['--resync-seconds', '0'], 'must be a whole number from 1 to 86400'],
  [['--exempt', '10.0.0.0/33'], '"10.0.0.0/33" is no address block: write one like 10.0.0.0/8 or fd00::/8'],
  [['--unknown'], "Unknown option '--unknown'"],
  [['surplus'], 'Unexpected argument'],
])('%j is refused, and it is said why', (args, reason) => {
  expect(() => readConfig(args, {})).toThrow(ConfigError);
  expect(() => readConfig(args, {})).toThrow(reason);
});

test('queues are switched off by the word false, in the flag or the environment; an empty variable says nothing', () => {
  expect(readConfig(['--ingress-queue=false'], { INGRESS_QUEUE: 'true' }).ingressQueue).toBe(false);
  expect(readConfig(['--ingress-queue', 'true'], { INGRESS_QUEUE: 'false' }).ingressQueue).toBe(true);
  expect(readConfig([], { INGRESS_QUEUE: 'false' }).ingressQueue).toBe(false);
  expect(readConfig([], { INGRESS_QUEUE: '' }).ingressQueue).toBe(true);
  expect(() => readConfig([], { INGRESS_QUEUE: 'yes' })).toThrow('--ingress-queue yes: must be true or false');
});

test('the startup taint is left alone unless the configuration says so', () => {
  expect(readConfig([], {}).startupTaint).toBe(false);
  expect(readConfig([], { STARTUP_TAINT: 'true' }).startupTaint).toBe(true);
  expect(() => readConfig(['--startup-taint', 'x'], {})).toThrow('--startup-taint x: must be true or false');
});

test('the address of the HTTP server is an IP address', () => {
  expect(readConfig(['--address', '::'], { ADDRESS: '0.0.0.0' }).address).toBe('::');
  expect(readConfig([], { ADDRESS: '0.0.0.0' }).address).toBe('0.0.0.0');
  expect(readConfig([], { ADDRESS: '' }).address).toBe('127.0.0.1');
  expect(() => readConfig([], { ADDRESS: 'node-1' })).toThrow('--address node-1: must be an IP address');
});

test('every flag is in the usage text', () => {
  for (const flag of [
    'bpf-object',
    'pin-dir',
    'cgroup-root',
    'release-cgroup',
    'node-name',
    'port',
    'address',
    'resync-seconds',
    'exempt',
    'netns-dir',
    'ingress-queue',
    'startup-taint',
    'uninstall',
    'help',
  ]) {
    expect(usage).toContain(`--${flag} `);
  }
});
