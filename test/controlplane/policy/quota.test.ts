import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { issueSet, writePair } from '../../certs/pairs.ts';
import { type Cluster, startCluster } from '../../cluster/cluster.ts';
import type { CreateAnswer } from '../harness/create-pods-program.ts';
import { accountKubeconfig, applyManifests, podrateNamespace } from '../harness/installation.ts';

const hard = { egress: 20_000_000, ingress: 50_000_000 };
const lifeMs = 5_000;
// One of them dies.
const ports = { a: 9441, b: 9442, mortal: 9443 };
type Name = keyof typeof ports;
const names = Object.keys(ports) as Name[];

let cluster: Cluster;
let tls: string;
const replicas = new Map<Name, ReturnType<typeof spawnReplica>>();
/** What the replicas wrote about failures. */
let complaints = '';

const spawnReplica = (name: Name, kubeconfig: string) => {
  const args = ['test/webhook/quota/replica.ts', String(ports[name]), tls, JSON.stringify(hard), String(lifeMs)];
  const child = cluster.spawn(process.execPath, args, { env: { KUBECONFIG: kubeconfig }, reject: false });
  child.stderr.pipe(process.stderr);
  child.stderr.on('data', (text: Buffer) => {
    complaints += text;
  });
  return child;
};

async function startReplica(name: Name): Promise<void> {
  const kubeconfig = await accountKubeconfig(cluster, 'podrate-webhook');
  const child = spawnReplica(name, name === 'b' ? await byWayOf(kubeconfig, wayPort) : kubeconfig);
  replicas.set(name, child);
  await new Promise((resolve) => child.stdout.once('data', resolve));
}

/** The replica b calls the API server on a way of its own. */
const wayPort = 9450;
let way: ReturnType<typeof openWay> | undefined;
const openWay = () =>
  cluster.spawn(process.execPath, ['test/kube/silent-path-program.ts', cluster.hostAddress, '6443', String(wayPort)], {
    reject: false,
  });
const tellWay = async (what: 'silence' | 'restore') => {
  way?.stdin.write(`${what}\n`);
  await new Promise((resolve) => way?.stdout.once('data', resolve));
};

/** Writes the same kubeconfig with another port of the API server. */
async function byWayOf(kubeconfig: string, port: number): Promise<string> {
  const path = kubeconfig.replace('.kubeconfig', `-${port}.kubeconfig`);
  await writeFile(path, (await readFile(kubeconfig, 'utf8')).replace(':6443', `:${port}`));
  return path;
}

/** A Service without pods, and where the replica is in truth. */
const service = (name: Name) => [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `quota-${name}`, namespace: podrateNamespace },
    spec: { ports: [{ name: 'https', port: 443 }] },
  },
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `quota-${name}-on-host`,
      namespace: podrateNamespace,
      labels: { 'kubernetes.io/service-name': `quota-${name}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'https', port: ports[name], protocol: 'TCP' }],
    endpoints: [{ addresses: [cluster.hostAddress], conditions: { ready: true } }],
  },
];

/** Registers a replica for the pods that carry its name in the label `replica`. */
const registration = (name: Name, authority: string) => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { name: `quota-${name}` },
  webhooks: [
    {
      name: 'quota.podrate.dev',
      admissionReviewVersions: ['v1'],
      sideEffects: 'NoneOnDryRun',
      failurePolicy: 'Fail',
      // As the shipped one.
      timeoutSeconds: 10,
      clientConfig: {
        service: { name: `quota-${name}`, namespace: podrateNamespace },
        caBundle: Buffer.from(authority).toString('base64'),
      },
      objectSelector: { matchLabels: { replica: name } },
      rules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE', 'UPDATE'] }],
    },
  ],
});

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  tls = join(cluster.dir, 'quota-tls');
  const [pairs] = await Promise.all([
    issueSet(names.map((name) => `quota-${name}.${podrateNamespace}.svc`)),
    applyManifests(cluster),
  ]);
  await writePair(tls, pairs.serving);
  await cluster.kubectl(['delete', 'mutatingwebhookconfiguration', 'podrate']);
  way = openWay();
  await new Promise((resolve) => way?.stdout.once('data', resolve));
  await Promise.all(names.map(startReplica));
  const objects = names.flatMap((name) => [...service(name), registration(name, pairs.authority.certificate)]);
  await Promise.all(objects.map((object) => apply(object)));
});

afterAll(async () => {
  for (const child of [...replicas.values(), way]) child?.kill();
  await cluster?.stop();
});

const kubectl = (...args: string[]) => cluster.kubectl(args, { reject: false });
const apply = (object: object, ...args: string[]) =>
  cluster.kubectl(['apply', '-f', '-', ...args], { input: JSON.stringify(object), reject: false });

/** A pod as it is after mutation: with a stamp, in megabytes per second both ways. */
const pod = (namespace: string, name: string, replica: Name, megabytes: number, labels = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    ...{ namespace, name },
    labels: { replica, 'podrate.dev/shaped': 'true', ...labels },
    annotations: { 'podrate.dev/limit': stamp(megabytes) },
  },
  spec: { containers: [{ name: 'web', image: 'web' }] },
});
const stamp = (megabytes: number) => JSON.stringify({ egress: megabytes * 1_000_000, ingress: megabytes * 1_000_000 });

/** Creates pods all at once and counts the answers. */
async function createAll(pods: readonly object[]): Promise<Record<number, number>> {
  const { stdout } = await cluster.spawn(process.execPath, ['test/controlplane/harness/create-pods-program.ts'], {
    input: JSON.stringify(pods),
    env: { KUBECONFIG: cluster.kubeconfig },
  });
  const codes = (JSON.parse(stdout) as CreateAnswer[]).map(({ code }) => code);
  return Object.fromEntries([...new Set(codes)].map((code) => [code, codes.filter((other) => other === code).length]));
}

/** Pods of one megabyte each, by turns through both replicas. */
const many = (namespace: string, prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => pod(namespace, `${prefix}-${index}`, index % 2 === 0 ? 'a' : 'b', 1));

/** The sum of the pods that are not finished, in megabytes per second. */
async function sum(namespace: string): Promise<number> {
  const { items } = JSON.parse((await kubectl('get', 'pods', '-n', namespace, '-o', 'json')).stdout);
  const stamps: { egress: number }[] = items
    .filter(({ status }: { status: { phase: string } }) => !['Succeeded', 'Failed'].includes(status.phase))
    .map(({ metadata }: { metadata: { annotations: Record<string, string> } }) =>
      JSON.parse(metadata.annotations['podrate.dev/limit'] ?? '{}'),
    );
  return stamps.reduce((total, { egress }) => total + egress, 0) / 1_000_000;
}

const shown = async (namespace: string) => {
  const columns = (await kubectl('get', 'bandwidthledgers', '-n', namespace, '--no-headers')).stdout;
  return columns.split(/\s+/).slice(1, 3);
};
const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 60_000, interval: 250 });
const created = { exitCode: 0 };

describe('a namespace with a quota of 20 MB/s', () => {
  const namespace = 'storm';
  beforeAll(() => kubectl('create', 'namespace', namespace));

  test('takes exactly 20 of 60 pods of 1 MB/s that are created at once through two replicas, and shows it', async () => {
    expect(await createAll(many(namespace, 'first', 60))).toEqual({ 201: 20, 403: 40 });
    expect(await sum(namespace)).toBe(20);
    await eventually(async () => expect(await shown(namespace)).toEqual(['20M/20M', '20M/50M']));
  });

  test('refuses one more with what is used, requested and hard', async () => {
    const { stderr } = await apply(pod(namespace, 'more', 'a', 2));
    expect(stderr).toContain(
      JSON.stringify({ direction: 'egress', requested: 2e6, used: 20e6, hard: 20e6 }).slice(1, -1),
    );
  });

  test('takes as many as were deleted, evicted or finished, at once', async () => {
    const names = JSON.parse((await kubectl('get', 'pods', '-n', namespace, '-o', 'json')).stdout).items.map(
      ({ metadata }: { metadata: { name: string } }) => metadata.name,
    );
    await kubectl('delete', 'pod', '-n', namespace, names[0], names[1], '--now');
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: names[2], namespace } };
    const path = `/api/v1/namespaces/${namespace}/pods/${names[2]}/eviction`;
    await cluster.kubectl(['create', '--raw', path, '-f', '-'], { input: JSON.stringify(eviction) });
    await kubectl(
      'patch',
      'pod',
      '-n',
      namespace,
      names[3],
      '--subresource=status',
      '-p',
      '{"status":{"phase":"Failed"}}',
    );
    expect(await sum(namespace)).toBe(16);
    expect(await createAll(many(namespace, 'second', 10))).toEqual({ 201: 4, 403: 6 });
  });

  test('shows its ledger to whoever may view it, and lets nobody else write it', async () => {
    await kubectl('create', 'serviceaccount', 'tenant', '-n', namespace);
    await kubectl(
      'create',
      'rolebinding',
      'viewer',
      '-n',
      namespace,
      '--clusterrole=view',
      `--serviceaccount=${namespace}:tenant`,
    );
    await kubectl('create', 'role', 'all', '-n', namespace, '--verb=*', '--resource=bandwidthledgers.podrate.dev');
    await kubectl(
      'create',
      'rolebinding',
      'all',
      '-n',
      namespace,
      '--role=all',
      `--serviceaccount=${namespace}:tenant`,
    );
    const as = ['-n', namespace, '--as', `system:serviceaccount:${namespace}:tenant`];
    const tenant = (...args: string[]) => kubectl(...args, ...as);
    await eventually(async () =>
      expect((await tenant('get', 'bandwidthledgers', '-o', 'jsonpath={.items[0].spec.hard.egress}')).stdout).toBe(
        '20000000',
      ),
    );
    expect((await tenant('auth', 'can-i', 'delete', 'bandwidthledgers')).stdout).toBe('yes');
    const only = expect.stringContaining('podrate alone writes the ledger of a quota');
    const patch = ['patch', 'bandwidthledger', 'podrate', '--type=merge', '-p', '{"status":{"grants":[]}}'];
    expect((await tenant(...patch)).stderr).toEqual(only);
    expect((await tenant('delete', 'bandwidthledger', 'podrate')).stderr).toEqual(only);
    const malformed = (status: object) =>
      kubectl('patch', 'bandwidthledger', 'podrate', '-n', namespace, '--type=merge', '-p', JSON.stringify({ status }));
    expect((await malformed({ settled: '1x' })).stderr).toContain('status.settled');
    expect((await malformed({ grants: [{ name: 'a', uid: 'a', serial: 1 }] })).stderr).toContain('status.grants[0]');
    const { stdout } = await kubectl('auth', 'can-i', 'get', 'bandwidthledgers', '-n', 'default', ...as.slice(2));
    expect(stdout).toBe('no');
  });
});

describe.concurrent('in a namespace of its own', () => {
  const enter = async (namespace: string) => {
    await kubectl('create', 'namespace', namespace);
    return namespace;
  };

  test('a pod is raised up to the quota and not above, and lowered always', async () => {
    const namespace = await enter('raise');
    await createAll([pod(namespace, 'one', 'a', 12), pod(namespace, 'two', 'b', 6)]);
    const limit = (name: string, megabytes: number) =>
      kubectl('annotate', 'pod', name, '-n', namespace, '--overwrite', `podrate.dev/limit=${stamp(megabytes)}`);
    expect((await limit('two', 9)).stderr).toContain('"requested":3000000,"used":18000000');
    expect(await limit('two', 8)).toMatchObject(created);
    expect(await limit('one', 5)).toMatchObject(created);
    expect(await limit('two', 15)).toMatchObject(created);
    expect((await limit('one', 6)).exitCode).not.toBe(0);
    expect(await sum(namespace)).toBe(20);
    await eventually(async () => expect(await shown(namespace)).toEqual(['20M/20M', '20M/50M']));
  });

  test('a dry run uses nothing, and is refused as the real thing', async () => {
    const namespace = await enter('dry');
    expect(await apply(pod(namespace, 'dry', 'a', 20), '--dry-run=server')).toMatchObject(created);
    expect(await apply(pod(namespace, 'real', 'b', 20))).toMatchObject(created);
    expect((await apply(pod(namespace, 'dry', 'a', 1), '--dry-run=server')).stderr).toContain('"used":20000000');
  });

  test('creates that fail because the name is taken use nothing, and a name is used again at once', async () => {
    const namespace = await enter('names');
    const same = Array.from({ length: 10 }, (_, index) => pod(namespace, 'same', index % 2 === 0 ? 'a' : 'b', 12));
    expect(await createAll(same)).toEqual({ 201: 1, 409: 9 });
    expect(await apply(pod(namespace, 'rest', 'b', 8))).toMatchObject(created);
    await kubectl('delete', 'pod', 'same', '-n', namespace, '--now');
    expect(await apply(pod(namespace, 'same', 'b', 12))).toMatchObject(created);
    expect(await sum(namespace)).toBe(20);
  });

  test('a ledger that an administrator deletes is made anew from the pods', async () => {
    const namespace = await enter('deleted');
    await createAll(many(namespace, 'first', 10));
    await eventually(async () => expect(await shown(namespace)).toEqual(['10M/20M', '10M/50M']));
    await kubectl('delete', 'bandwidthledger', 'podrate', '-n', namespace);
    await createAll(many(namespace, 'second', 20));
    expect(await sum(namespace)).toBe(20);
    await eventually(async () => expect(await shown(namespace)).toEqual(['20M/20M', '20M/50M']));
  });

  test('what something else refuses, and what a killed replica had allowed, is free again after the life of a request', async () => {
    const namespace = await enter('lost');
    const none = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'none', namespace },
      spec: { hard: { pods: '0' } },
    };
    await apply(none);
    await eventually(async () => {
      const { stdout } = await kubectl(
        'get',
        'resourcequota',
        'none',
        '-n',
        namespace,
        '-o',
        'jsonpath={.status.hard.pods}',
      );
      expect(stdout).toBe('0');
    });
    expect((await apply(pod(namespace, 'refused', 'mortal', 12))).stderr).toContain('exceeded quota: none');
    await kubectl('delete', 'resourcequota', 'none', '-n', namespace);
    const dead = replicas.get('mortal');
    expect((await apply(pod(namespace, 'killed', 'mortal', 8, { die: '' }))).exitCode).not.toBe(0);
    expect((await dead)?.signal).toBe('SIGKILL');
    expect(await sum(namespace)).toBe(0);
    expect((await apply(pod(namespace, 'early', 'b', 9))).exitCode).not.toBe(0);
    await delay(lifeMs);
    await eventually(async () => expect(await shown(namespace)).toEqual(['0/20M', '0/50M']));
    expect(await apply(pod(namespace, 'late', 'b', 20))).toMatchObject(created);
    await startReplica('mortal');
    expect((await apply(pod(namespace, 'more', 'mortal', 1))).stderr).toContain('"used":20000000');
  });
});

test('a replica that is cut off from the API server says so in time and grants nothing, the other goes on, and both do later', async () => {
  const namespace = 'cut';
  await kubectl('create', 'namespace', namespace);
  expect(await createAll(many(namespace, 'before', 10))).toEqual({ 201: 10 });
  await tellWay('silence');
  const through = (name: Name, count: number) =>
    Array.from({ length: count }, (_, index) => pod(namespace, `cut-${name}-${index}`, name, 1));
  const [answer, cut, well] = await Promise.all([
    apply(pod(namespace, 'cut', 'b', 1)),
    createAll(through('b', 20)),
    createAll(through('a', 20)),
  ]);
  expect(answer.stderr).toMatch(/failed calling webhook.*Could not .* quota ledger/);
  expect(answer.stderr).not.toMatch(/deadline|Timeout/);
  expect([cut, well]).toEqual([{ 500: 20 }, { 201: 10, 403: 10 }]);
  expect(await sum(namespace)).toBe(20);

  // The connections from before are lost.
  await tellWay('restore');
  await kubectl('delete', 'pod', '-n', namespace, 'before-0', 'before-1', '--now');
  await eventually(async () => expect(await apply(pod(namespace, 'after', 'b', 2))).toMatchObject(created));
  expect((await apply(pod(namespace, 'more', 'b', 1))).stderr).toContain('"used":20000000');
  expect(await sum(namespace)).toBe(20);
});

test('metrics show what is used and hard', async () => {
  const script =
    'process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"; console.log(await (await fetch(process.argv[1])).text())';
  const url = `https://${cluster.hostAddress}:${ports.b}/metrics`;
  const { stdout } = await cluster.spawn(process.execPath, ['--input-type=module', '-e', script, url]);
  expect(stdout).toContain('podrate_quota_used_bytes_per_second{namespace="dry",direction="egress"} 20000000');
  expect(stdout).toContain('podrate_quota_hard_bytes_per_second{namespace="dry",direction="ingress"} 50000000');
});

test('the rights of the shipped service account suffice', () => {
  expect(complaints).not.toMatch(/403|forbidden/i);
});
