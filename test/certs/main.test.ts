import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { FakeApiServer } from './fake-api-server.ts';

// Each command is a process of its own, and loading the Kubernetes client alone takes a second.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'podrate-certs-'));
});

afterEach(() => rm(folder, { recursive: true }));

const certs = (...args: string[]) =>
  execa(process.execPath, ['certs/main.ts', ...args], {
    reject: false,
    extendEnv: false,
    env: { PATH: process.env.PATH ?? '' },
  });
const read = (file: string) => readFile(join(folder, file), 'utf8');

describe('the command "files"', () => {
  test('writes a working set with private keys that only their owner can read', async () => {
    const { exitCode, stdout } = await certs('files', '--out', folder, '--dns', 'localhost');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Made the authority');
    const certificate = new X509Certificate(await read('tls.crt'));
    expect(certificate.verify(new X509Certificate(await read('ca.crt')).publicKey)).toBe(true);
    expect(certificate.checkHost('localhost')).toBe('localhost');
    const mode = async (file: string) => ((await stat(join(folder, file))).mode & 0o777).toString(8);
    expect(await Promise.all(['ca.key', 'tls.key', 'ca.crt', 'tls.crt'].map(mode))).toEqual([
      '600',
      '600',
      '644',
      '644',
    ]);
  });

  test('keeps what is good, and renews only the serving certificate when asked', async () => {
    await certs('files', '--out', folder);
    const before = [await read('ca.crt'), await read('tls.crt')];
    expect((await certs('files', '--out', folder)).stdout).toContain('Kept the serving certificate');
    expect([await read('ca.crt'), await read('tls.crt')]).toEqual(before);
    await certs('files', '--out', folder, '--renew');
    expect(await read('ca.crt')).toBe(before[0]);
    expect(await read('tls.crt')).not.toBe(before[1]);
  });

  test('makes a new set where the files are damaged', async () => {
    await certs('files', '--out', folder);
    await writeFile(join(folder, 'ca.key'), 'damaged');
    const { stdout } = await certs('files', '--out', folder);
    expect(stdout).toContain('Made the authority');
    expect(stdout).toContain('Made the serving certificate');
  });
});

describe('the command "manifest"', () => {
  test('prints two Secrets that kubectl can read, and the caBundle', async () => {
    const { stdout } = await certs('manifest', '--namespace', 'elsewhere');
    const secrets = parseAllDocuments(stdout).map((document) => document.toJS());
    expect(secrets.map(({ metadata }) => metadata)).toEqual([
      { name: 'podrate-ca', namespace: 'elsewhere' },
      { name: 'podrate-webhook-tls', namespace: 'elsewhere' },
    ]);
    const authority = secrets[0].data['tls.crt'];
    expect(secrets[1].data['ca.crt']).toBe(authority);
    expect(stdout).toContain(`# caBundle: ${authority}\n`);
    const serving = new X509Certificate(Buffer.from(secrets[1].data['tls.crt'], 'base64'));
    expect(serving.checkHost('podrate-webhook.elsewhere.svc')).toBeDefined();
  });
});

describe('the command "install"', () => {
  test('installs through a kubeconfig, says so without keys, and changes nothing the second time', async () => {
    const server = await FakeApiServer.start();
    const kubeconfig = join(folder, 'kubeconfig');
    await writeFile(kubeconfig, server.kubeconfig);
    const first = await certs('install', '--kubeconfig', kubeconfig);
    const second = await certs('install', '--kubeconfig', kubeconfig);
    server.fault = () => 403;
    const forbidden = await certs('install', '--kubeconfig', kubeconfig);
    server.fault = () => 503;
    const away = await certs('install', '--kubeconfig', kubeconfig, '--patience', '1');
    await server.stop();
    expect(first).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('Made a serving certificate in Secret podrate-webhook-tls'),
    });
    expect(first.stdout).not.toContain('PRIVATE KEY');
    expect(second).toMatchObject({ exitCode: 0, stdout: 'All certificates are good; nothing was changed.' });
    expect(forbidden).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('needs the verb "get"') });
    expect(away).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('503') });
  });

  test('says what to do outside of a cluster, or with a kubeconfig that cannot be read', async () => {
    expect(await certs('install')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('needs --kubeconfig FILE'),
    });
    const broken = join(folder, 'broken');
    expect(await certs('install', '--kubeconfig', broken)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(broken),
    });
    await writeFile(broken, '{}');
    expect(await certs('install', '--kubeconfig', broken)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('no current context'),
    });
  });
});

test.each([
  [['--help'], 0],
  [[], 2],
  [['polish'], 2],
  [['files'], 2],
  [['files', '--out', 'x', 'y'], 2],
  [['manifest', '--days', 'ten'], 2],
  [['manifest', '--days', '0'], 2],
  [['manifest', '--colour'], 2],
])('the arguments %j end with code %d and a pointer to the help', async (args, exitCode) => {
  const result = await certs(...args);
  expect(result.exitCode).toBe(exitCode);
  expect(result.stdout + result.stderr).toContain(exitCode === 0 ? 'Exit codes' : '--help');
});
