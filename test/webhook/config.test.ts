import { expect, test } from 'vitest';
import { ConfigError, readConfig } from '../../webhook/config.ts';

test('without arguments everything is as in the manifests', () => {
  expect(readConfig([], {})).toEqual({
    port: 8443,
    httpPort: 8080,
    tlsDir: undefined,
    tlsPollMs: 10_000,
    keys: { both: 'rate', egress: 'rate-egress', ingress: 'rate-ingress' },
    installation: { default: {}, max: {} },
    obeysBandwidth: false,
    kubeconfig: undefined,
    namespace: 'podrate-system',
    logLevel: 'info',
    drainMs: 10_000,
    requestLifeMs: 90_000,
  });
});

test('arguments win over the environment, and an empty variable is none', () => {
  const environment = { PODRATE_PORT: '1', PODRATE_LABEL_KEY: 'speed', PODRATE_TLS_POLL: '' };
  expect(readConfig(['--port', '2'], environment)).toMatchObject({
    port: 2,
    keys: { both: 'speed' },
    tlsPollMs: 10_000,
  });
});

test('the installation can have a default and a maximum', () => {
  expect(readConfig(['--default', '1M'], { PODRATE_MAX: '5M' })).toMatchObject({
    installation: {
      default: { egress: 1_000_000, ingress: 1_000_000 },
      max: { egress: 5_000_000, ingress: 5_000_000 },
    },
  });
});

test('help is not a configuration', () => {
  expect(readConfig(['--help'], {})).toBeUndefined();
});

test.each([
  [['--port', 'x'], '--port is wrong'],
  [['--port', '70000'], '--port is wrong'],
  [['--drain', '-1'], '--drain'],
  [['--request-timeout', '0'], '--request-timeout is wrong'],
  [['--tls-poll', '0'], '--tls-poll is wrong'],
  [['--label-key', 'a b'], '--label-key is wrong: The label key "a b"'],
  [['--label-key', 'podrate.dev/rate'], 'keeps for itself'],
  [['--default', '10'], '--default is wrong: "10" has no unit'],
  [['--max', 'none'], '--max is wrong'],
  [['--default', '2M', '--max', '1M'], '--default is wrong: it is above --max; write 1M or less.'],
  [['--log-level', 'loud'], '--log-level is wrong'],
  [['--colour'], '--colour'],
  [['surplus'], 'surplus'],
])('the arguments %j are refused', (args, words) => {
  expect(() => readConfig(args, {})).toThrow(ConfigError);
  expect(() => readConfig(args, {})).toThrow(words);
});
