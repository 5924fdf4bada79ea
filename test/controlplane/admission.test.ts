import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parseRate, RateError } from '../../rate/rate.ts';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { type HostWebhook, installWebhook } from './harness/webhook.ts';

let cluster: Cluster;
let webhook: HostWebhook;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  webhook = await installWebhook(cluster);
});

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

type Strings = Record<string, string>;
interface Metadata {
  name: string;
  labels?: Strings;
  annotations?: Strings;
  finalizers?: string[];
}

const manifest = (metadata: Metadata, spec: object = {}) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { containers: [{ name: 'web', image: 'web' }], ...spec },
  });

const apply = (input: string, ...args: string[]) =>
  cluster.kubectl(['apply', '-f', '-', ...args], { input, reject: false });
const kubectl = (...args: string[]) => cluster.kubectl(args, { reject: false });

/** Waits for a line of the webhook's log: it writes several at a time. */
const logged = (line: object) =>
  vi.waitFor(() => expect(webhook.lines).toContainEqual(expect.objectContaining(line)), { timeout: 10_000 });

async function metadataOf(name: string): Promise<Metadata> {
  return JSON.parse((await cluster.kubectl(['get', 'pod', name, '-o', 'json'])).stdout).metadata;
}

async function stampOf(name: string): Promise<{ annotation: string | undefined; label: string | undefined }> {
  const { annotations, labels } = await metadataOf(name);
  return { annotation: annotations?.['podrate.dev/limit'], label: labels?.['podrate.dev/shaped'] };
}

const stamp = (egress: number, ingress = egress) => ({
  annotation: JSON.stringify({ egress, ingress }),
  label: 'true',
});
const noStamp = { annotation: undefined, label: undefined };

describe('kubectl apply of a pod', () => {
  test('with a rate stores the stamp, and the label as it was written', async () => {
    expect(await apply(manifest({ name: 'good', labels: { rate: '1000KB', app: 'web' } }))).toMatchObject({
      exitCode: 0,
    });
    expect(await stampOf('good')).toEqual(stamp(1_000_000));
    expect((await metadataOf('good')).labels).toMatchObject({ rate: '1000KB', app: 'web' });
    const server = ['--server-side', '--field-manager=gitops'];
    await apply(manifest({ name: 'server-side', labels: { rate: '1000K' } }), ...server);
    expect((await metadataOf('server-side')).labels).toMatchObject({ rate: '1000K' });
  });

  test('that nobody applies stores the canonical label', async () => {
    const input = manifest({ name: 'created', labels: { rate: '1000KB' } });
    await cluster.kubectl(['create', '-f', '-'], { input });
    expect(await stampOf('created')).toEqual(stamp(1_000_000));
    expect((await metadataOf('created')).labels).toMatchObject({ rate: '1M' });
  });

  test('again with the same manifest changes nothing, in whatever form the rate is written', async () => {
    const input = manifest({ name: 'again', labels: { rate: '1000K' } });
    await apply(input);
    expect((await apply(input)).stdout).toBe('pod/again unchanged');
    expect((await cluster.kubectl(['diff', '-f', '-'], { input, reject: false })).stdout).toBe('');
  });

  test.each([
    '10',
    '1m',
    '-1M',
    '+1M',
    '1e6',
    '1 M',
    '0M',
    '0.5K',
    '13G',
    '1T',
    '',
    'fast',
    '1Mb',
    '1k',
    '.5M',
    '1,5M',
    '1.0005K',
    'None',
  ])('with the rate %j is refused with the sentence, and nothing is stored', async (rate) => {
    const { exitCode, stderr } = await apply(manifest({ name: 'bad', labels: { rate } }));
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain(`denied the request: label rate: ${sentence(rate)}`);
    expect((await kubectl('get', 'pod', 'bad')).stderr).toContain('NotFound');
  });

  test('with a bad rate in one direction is refused by that name', async () => {
    const { exitCode, stderr } = await apply(manifest({ name: 'bad', labels: { rate: '1M', 'rate-ingress': '5' } }));
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain('label rate-ingress: "5" has no unit');
  });

  test('with a forged stamp stores the right one, or none', async () => {
    const forged = { 'podrate.dev/limit': '{"egress":12500000000}' };
    const shaped = { 'podrate.dev/shaped': 'true' };
    await apply(manifest({ name: 'forged', annotations: forged, labels: { ...shaped, rate: '1M' } }));
    expect(await stampOf('forged')).toEqual(stamp(1_000_000));
    await apply(manifest({ name: 'forged-annotation', annotations: forged }));
    expect(await stampOf('forged-annotation')).toEqual(noStamp);
    await apply(manifest({ name: 'forged-label', labels: shaped }));
    expect(await stampOf('forged-label')).toEqual(noStamp);
  });

  test('that poses as a static pod gets no stamp, as its limit would fall on that pod', async () => {
    const annotations = { 'kubernetes.io/config.hash': '9975374b9ed6731017a935ce80483a0d' };
    const onlyKubelets = 'only a kubelet stamps a pod whose annotations say static pod';
    const { stderr } = await apply(manifest({ name: 'poser', labels: { rate: '1K' }, annotations }));
    expect(stderr).toContain(onlyKubelets);
    expect((await apply(manifest({ name: 'hashed', annotations }))).exitCode).toBe(0);
    expect((await kubectl('label', 'pod', 'hashed', 'rate=1K')).stderr).toContain(onlyKubelets);
    expect(await stampOf('hashed')).toEqual(noStamp);
  });

  test('shows a warning where it helps', async () => {
    const { stderr } = await apply(manifest({ name: 'slow', labels: { rate: '1K' } }, { hostNetwork: true }));
    expect(stderr).toContain('Warning: egress 1K/s is less than one full packet (1500 bytes) per 100 ms');
    expect(stderr).toContain('Warning: hostNetwork: the limit counts');
  });

  test('as a server-side dry run shows the stamp and stores nothing', async () => {
    const { stdout } = await apply(manifest({ name: 'dry', labels: { rate: '1M' } }), '--dry-run=server', '-o', 'json');
    expect(JSON.parse(stdout).metadata.annotations['podrate.dev/limit']).toBe(stamp(1_000_000).annotation);
    expect((await kubectl('get', 'pod', 'dry')).exitCode).not.toBe(0);
    await logged({ name: 'dry', dryRun: true, outcome: 'patch' });
  });
});

describe('a pod that is there', () => {
  test('follows its label: changed, per direction, none, gone', async () => {
    await apply(manifest({ name: 'live', labels: { rate: '1M' } }));
    await kubectl('label', 'pod', 'live', 'rate=2M', '--overwrite');
    expect(await stampOf('live')).toEqual(stamp(2_000_000));
    await kubectl('label', 'pod', 'live', 'rate-ingress=3M');
    expect(await stampOf('live')).toEqual(stamp(2_000_000, 3_000_000));
    await kubectl('label', 'pod', 'live', 'rate-ingress=none', '--overwrite');
    expect(await stampOf('live')).toEqual({ annotation: '{"egress":2000000}', label: 'true' });
    await kubectl('label', 'pod', 'live', 'rate-', 'rate-ingress-');
    expect(await stampOf('live')).toEqual(noStamp);
  });

  test('keeps its stamp when a bad label is refused, or when somebody tampers with the stamp', async () => {
    await apply(manifest({ name: 'firm', labels: { rate: '1M' } }));
    const refused = await kubectl('label', 'pod', 'firm', 'rate=10', '--overwrite');
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain(`label rate: ${sentence('10')}`);
    await kubectl('annotate', 'pod', 'firm', 'podrate.dev/limit={"egress":9000000}', '--overwrite');
    await kubectl('annotate', 'pod', 'firm', 'podrate.dev/limit-');
    await kubectl('label', 'pod', 'firm', 'podrate.dev/shaped-');
    expect(await stampOf('firm')).toEqual(stamp(1_000_000));
  });
});

describe('a pod with a code point', () => {
  const dscp = (text: string) => ({ 'podrate.dev/dscp': text });

  test('and no rate is stamped, follows its annotation, and loses the stamp with it', async () => {
    await apply(manifest({ name: 'marked', annotations: dscp('EF') }));
    expect(await stampOf('marked')).toEqual({ annotation: '{"dscp":46}', label: 'true' });
    await kubectl('annotate', 'pod', 'marked', 'podrate.dev/dscp=AF41', '--overwrite');
    expect(await stampOf('marked')).toEqual({ annotation: '{"dscp":34}', label: 'true' });
    await kubectl('label', 'pod', 'marked', 'rate=1M');
    expect((await stampOf('marked')).annotation).toBe('{"egress":1000000,"ingress":1000000,"dscp":34}');
    await kubectl('label', 'pod', 'marked', 'rate-');
    await kubectl('annotate', 'pod', 'marked', 'podrate.dev/dscp-');
    expect(await stampOf('marked')).toEqual(noStamp);
  });

  test('that is none is refused with what to write, on a Deployment too, and one that is there keeps its mark', async () => {
    const message =
      'annotation podrate.dev/dscp: "184" is above 63, the largest code point: did you mean the TOS byte?';
    const refused = await apply(manifest({ name: 'tos', annotations: dscp('184') }));
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(message) });
    await apply(manifest({ name: 'firmly-marked', annotations: dscp('CS1') }));
    const changed = await kubectl('annotate', 'pod', 'firmly-marked', 'podrate.dev/dscp=184', '--overwrite');
    expect(changed.stderr).toContain(message);
    expect((await stampOf('firmly-marked')).annotation).toBe('{"dscp":8}');
    const deployment = (text: string) => {
      const labels = { app: 'marked-shop' };
      const template = {
        metadata: { labels, annotations: dscp(text) },
        spec: { containers: [{ name: 'w', image: 'w' }] },
      };
      const spec = { replicas: 0, selector: { matchLabels: labels }, template };
      return JSON.stringify({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'marked-shop' }, spec });
    };
    expect((await apply(deployment('184'))).stderr).toContain(`pod template: ${message}`);
    expect(await apply(deployment('EF'))).toMatchObject({ exitCode: 0 });
    expect((await apply(deployment('184'))).stderr).toContain(`pod template: ${message}`);
  });

  test('gets it by no other way than the pod: not through its status', async () => {
    await apply(manifest({ name: 'sideways' }));
    const patch = JSON.stringify({ metadata: { annotations: dscp('EF') } });
    const patched = await kubectl('patch', 'pod', 'sideways', '--subresource=status', '--type=merge', '-p', patch);
    expect(patched.stderr).toContain('annotation podrate.dev/dscp cannot be set through a pod');
  });
});

describe('the pods of a Deployment', () => {
  test('are stamped, keep the label that the selector names, and are as many as asked for', async () => {
    const labels = { app: 'shop', rate: '1000K' };
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'shop' },
      spec: {
        replicas: 3,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'web' }] } },
      },
    };
    await apply(JSON.stringify(deployment));
    const pods = async () => JSON.parse((await kubectl('get', 'pods', '-l', 'app=shop', '-o', 'json')).stdout).items;
    await vi.waitFor(async () => expect(await pods()).toHaveLength(3), { timeout: 60_000, interval: 300 });
    await delay(2_000);
    const found = await pods();
    expect(found).toHaveLength(3);
    for (const { metadata } of found) {
      expect(metadata.labels).toMatchObject({ rate: '1000K', 'podrate.dev/shaped': 'true' });
      expect(metadata.annotations).toMatchObject({ 'podrate.dev/limit': stamp(1_000_000).annotation });
    }
  });
});

describe('pods that have nothing to do with rates', () => {
  test('are not shown to the webhook', async () => {
    const before = await webhook.admissions();
    await apply(manifest({ name: 'plain', labels: { app: 'web' } }));
    await kubectl('label', 'pod', 'plain', 'app=shop', '--overwrite');
    await kubectl('delete', 'pod', 'plain', '--now');
    expect(await webhook.admissions()).toBe(before);
    await apply(manifest({ name: 'counted', labels: { rate: '1M' } }));
    // To stamp it: without a policy there is nothing to validate.
    expect(await webhook.admissions()).toBe(before + 1);
  });

  test('start while the webhook is down, and so do limited ones, which get their stamp when it is back', async () => {
    expect(await webhook.stop()).toBe(0);
    const bad = { name: 'late-bad', labels: { rate: '10' }, finalizers: ['example.com/hold'] };
    for (const metadata of [{ name: 'late-plain' }, { name: 'late-limited', labels: { rate: '1M' } }, bad]) {
      expect(await apply(manifest(metadata))).toMatchObject({ exitCode: 0 });
    }
    expect(await stampOf('late-limited')).toEqual(noStamp);
    await webhook.start();
    const late = { timeout: 60_000, interval: 250 };
    await vi.waitFor(async () => expect(await stampOf('late-limited')).toEqual(stamp(1_000_000)), late);
    // Its bad label must not keep a pod from being deleted.
    const freed = await kubectl('patch', 'pod', 'late-bad', '-p', '{"metadata":{"finalizers":null}}');
    expect(freed).toMatchObject({ exitCode: 0 });
    expect(await kubectl('delete', 'pod', 'late-bad', '--now')).toMatchObject({ exitCode: 0 });
  });
});

function sentence(rate: string): string {
  try {
    parseRate(rate);
  } catch (error) {
    if (error instanceof RateError) return error.message;
  }
  throw new Error(`${rate} is no bad rate`);
}
