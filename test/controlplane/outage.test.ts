import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { policyCluster, spec, stamp } from './harness/policy-objects.ts';
import { type HostWebhook, installReplicas } from './harness/webhook.ts';

let cluster: Cluster;
let replicas: HostWebhook[];
const { apply, kubectl, get, stampOf, makeNamespace } = policyCluster(() => cluster);

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  replicas = await installReplicas(cluster, 2);
  await makeNamespace('free', {});
  await makeNamespace('warned', { mode: 'warn', max: '5M' });
  await makeNamespace('enforced', { mode: 'enforce', max: '5M' });
});

afterAll(async () => {
  await Promise.all(replicas?.map((replica) => replica.stop()) ?? []);
  await cluster?.stop();
});

const pod = (place: string, name: string, labels: Record<string, string> = {}) => ({
  ...{ apiVersion: 'v1', kind: 'Pod', metadata: { namespace: place, name, labels } },
  spec: { ...spec, schedulerName: 'none' },
});
const timed = async (object: object) => {
  const begunMs = performance.now();
  const answer = await apply(object);
  return { ...answer, seconds: (performance.now() - begunMs) / 1000 };
};
const all = <T>(work: (replica: HostWebhook) => T) => Promise.all(replicas.map(work));

/** Drops what is sent to the replicas, on open connections too. */
const dropPackets = () => filterPackets('-A');
const passPackets = () => filterPackets('-D');
async function filterPackets(command: '-A' | '-D'): Promise<void> {
  for (const port of ['8443', '8444']) {
    await cluster.spawn('iptables', [command, 'INPUT', '-p', 'tcp', '--dport', port, '-j', 'DROP']);
  }
}

/** Writes a bundle into all entries of both registrations. */
async function setBundle(caBundle: string): Promise<void> {
  for (const kind of ['mutatingwebhookconfiguration', 'validatingwebhookconfiguration']) {
    const { webhooks } = await get(kind, 'podrate');
    const patch = webhooks.map((_: object, index: number) => {
      return { op: 'replace', path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle };
    });
    await cluster.kubectl(['patch', kind, 'podrate', '--type=json', '-p', JSON.stringify(patch)]);
  }
}

const outages: [string, begin: () => Promise<unknown>, end: () => Promise<unknown>][] = [
  ['gone', () => all((replica) => replica.stop()), () => all((replica) => replica.start())],
  ['hanging', () => all((replica) => replica.suspend()), () => all((replica) => replica.resume())],
  ['behind a network that drops packets', dropPackets, passPackets],
];

describe.each(outages)('while both replicas are %s', (name, begin, end) => {
  const id = name.replaceAll(/[^a-z]+/g, '-').slice(0, 12);
  beforeAll(async () => {
    await begin();
    // Until the API server has heard of it.
    const dry = pod('free', `probe-${id}`, { rate: '1M' });
    await vi.waitFor(
      async () => {
        const input = JSON.stringify(dry);
        const { stdout } = await cluster.kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], { input });
        expect(stdout).not.toContain('podrate.dev/limit');
      },
      { timeout: 60_000, interval: 200 },
    );
  });
  afterAll(end);

  test('pods that have nothing to do with rates start as usual', async () => {
    const { exitCode, stderr, seconds } = await timed(pod('free', `plain-${id}`));
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(seconds).toBeLessThan(4);
  });

  test.each(['free', 'warned'])(
    'labelled pods start within 10 s in the namespace %s, with a warning',
    async (place) => {
      const { exitCode, stderr, seconds } = await timed(pod(place, `labelled-${id}`, { rate: '1M' }));
      expect([exitCode, stderr]).toEqual([0, expect.stringContaining('it starts without its limit')]);
      expect(seconds).toBeLessThan(10);
      expect(await stampOf(place, `labelled-${id}`)).toBeUndefined();
    },
  );

  test('pods of a namespace that enforces are refused with a sentence that names podrate', async () => {
    const { exitCode, stderr, seconds } = await timed(pod('enforced', `labelled-${id}`, { rate: '1M' }));
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(/failed calling webhook "enforced-pods\.podrate\.dev"/),
    ]);
    expect(seconds).toBeLessThan(15);
  });

  test('the API server counts what it lets pass', async () => {
    const { stdout } = await cluster.kubectl(['get', '--raw', '/metrics']);
    expect(stdout).toMatch(/apiserver_admission_webhook_fail_open_count\{.*podrate\.dev.*\} [1-9]/);
  });
});

test('what came in without a stamp gets it within a minute after the return, and says so where it cannot', async () => {
  await all((replica) => replica.stop());
  const forged = pod('warned', 'forged', { 'podrate.dev/shaped': 'true' });
  const annotations = { 'podrate.dev/limit': stamp(12_500_000_000) };
  await apply({ ...forged, metadata: { ...forged.metadata, annotations } });
  await apply(pod('free', 'malformed', { rate: '10' }));
  expect(await stampOf('warned', 'forged')).toBe(stamp(12_500_000_000));
  await all((replica) => replica.start());
  const soon = { timeout: 60_000, interval: 500 };
  for (const id of ['gone', 'hanging', 'behind-a-net']) {
    for (const place of ['free', 'warned']) {
      await vi.waitFor(async () => expect(await stampOf(place, `labelled-${id}`)).toBe(stamp(1_000_000)), soon);
    }
  }
  await vi.waitFor(async () => expect(await stampOf('warned', 'forged')).toBe(stamp(5_000_000)), soon);
  await vi.waitFor(async () => {
    const { stdout } = await kubectl('describe', 'pod', 'malformed', '-n', 'free');
    expect(stdout).toMatch(/RateMissing .* label rate: "10" has no unit/);
    expect(await replicas[0]?.page('/metrics')).toContain('podrate_pods_without_stamp{state="refused"} 1');
  }, soon);
});

test("a foreign caBundle closes nothing but what enforces, and is the webhook's own again within a minute", async () => {
  const { webhooks } = await get('mutatingwebhookconfiguration', 'podrate');
  const foreign = (await get('configmap', 'kube-root-ca.crt', '-n', 'free')).data['ca.crt'];
  await setBundle(Buffer.from(foreign).toString('base64'));
  const begunMs = performance.now();
  await vi.waitFor(
    async () => {
      const found = await get('mutatingwebhookconfiguration', 'podrate');
      expect(found.webhooks[0].clientConfig.caBundle).toBe(webhooks[0].clientConfig.caBundle);
    },
    { timeout: 60_000, interval: 200 },
  );
  expect(performance.now() - begunMs).toBeLessThan(60_000);
  await vi.waitFor(async () => expect((await apply(pod('enforced', 'after', { rate: '1M' }))).exitCode).toBe(0), {
    timeout: 30_000,
    interval: 500,
  });
});
