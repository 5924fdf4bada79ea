import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { rereadToken } from '../../webhook/token-file.ts';

// Where a kubelet puts it.
const account = '/var/run/secrets/kubernetes.io/serviceaccount';

let pod: string;
let config: KubeConfig;
let nowMs: number;

beforeEach(async () => {
  pod = await mkdtemp(join(tmpdir(), 'podrate-token-'));
  await mkdir(join(pod, account), { recursive: true });
  await writeFile(join(pod, account, 'ca.crt'), 'authority');
  await write('first');
  config = new KubeConfig();
  config.loadFromCluster(pod);
  nowMs = 0;
  rereadToken(config, () => nowMs);
});

afterEach(async () => {
  vi.useRealTimers();
  await rm(pod, { recursive: true });
});

const write = (token: string) => writeFile(join(pod, account, 'token'), `${token}\n`);
const sent = async () => {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  return (options.headers as Record<string, string>).Authorization;
};

test('the token is read again after a minute, wherever the wall clock jumps', async () => {
  expect(await sent()).toBe('Bearer first');
  await write('second');
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2001-01-01') });
  nowMs = 59_000;
  expect(await sent()).toBe('Bearer first');
  nowMs = 60_000;
  expect(await sent()).toBe('Bearer second');
  await write('third');
  vi.setSystemTime(new Date('2099-01-01'));
  expect(await sent()).toBe('Bearer second');
  nowMs = 120_000;
  expect(await sent()).toBe('Bearer third');
});

test('a token that cannot be read fails the request, and the next one tries again', async () => {
  await rm(join(pod, account, 'token'));
  await expect(sent()).rejects.toThrow('ENOENT');
  await write('late');
  expect(await sent()).toBe('Bearer late');
});

test('a configuration without a token file stays as it is', () => {
  const other = new KubeConfig();
  const cluster = { name: 'fake', server: 'http://localhost', skipTLSVerify: true };
  other.loadFromClusterAndUser(cluster, { name: 'nobody', token: 'x' });
  rereadToken(other, () => 0);
  expect(other.getCurrentUser()).toMatchObject({ token: 'x' });
});
