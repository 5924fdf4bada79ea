import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { accountKubeconfig, podrateNamespace } from './harness/installation.ts';
import { certificateRights, grantedRights } from './harness/rights.ts';
import { type HostWebhook, installWebhook } from './harness/webhook.ts';

/** Each right of the webhook, and what of {@link failures} must fail without it. */
const rights = {
  // It is needed in the milliseconds before the watch knows a new policy: test/webhook/cluster has them.
  'get namespaces': [],
  'list namespaces': ['a label is stamped late', 'a default is given late'],
  'watch namespaces': ['nothing is refused to the webhook'],
  'patch pods': ['a label is stamped late'],
  // It takes two looks a minute apart: test/webhook/reconcile has them.
  'patch pods/status': [],
  [`list endpointslices.discovery.k8s.io in ${podrateNamespace}`]: ['nothing is refused to the webhook'],
  'create events.events.k8s.io': ['a pod says that it has no limit'],
  // What was there is listed again and again where it cannot be watched.
  'watch pods': ['nothing is refused to the webhook'],
  'list pods': ['a label is stamped late', 'a quota is kept'],
  'create bandwidthledgers.podrate.dev': ['a quota is kept'],
  'get bandwidthledgers.podrate.dev': ['a quota is kept'],
  'update bandwidthledgers.podrate.dev': ['a quota is kept'],
  'list bandwidthledgers.podrate.dev': ['the use of quotas is shown'],
} as const;

const account = `system:serviceaccount:${podrateNamespace}:podrate-webhook`;
const soon = { timeout: 10_000, interval: 200 };

let cluster: Cluster;
let webhook: HostWebhook;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  webhook = await installWebhook(cluster);
  await make('known', { 'podrate.dev/quota': '10M' });
  await apply(pod('known', 'one', { rate: '1M' }));
  await webhook.stop();
});

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

const pod = (namespace: string, name: string, labels: Record<string, string>) => ({
  ...{ apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels } },
  spec: { schedulerName: 'none', automountServiceAccountToken: false, containers: [{ name: 'web', image: 'web' }] },
});
const apply = (item: object) => cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(item), reject: false });
const json = async (...args: string[]) => JSON.parse((await cluster.kubectl([...args, '-o', 'json'])).stdout);

async function make(name: string, policy: Record<string, string>): Promise<void> {
  const labels = { 'podrate.dev/mode': 'enforce', ...policy };
  await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
  await cluster.kubectl(['wait', '--for=create', 'serviceaccount/default', '-n', name, '--timeout=30s']);
}

/** Takes a right out of the webhook's roles, and waits until the API server heeds that. */
async function remove(right: string): Promise<void> {
  const [verb, resource, , namespace] = right.split(' ') as [string, string, string?, string?];
  const kind = namespace === undefined ? 'clusterrole' : 'role';
  const place = namespace === undefined ? [] : ['-n', namespace];
  for (const name of ['podrate-webhook', 'podrate-quota']) {
    const got = await cluster.kubectl(['get', kind, name, ...place, '-o', 'json'], { reject: false });
    if (got.exitCode !== 0) continue;
    const role = JSON.parse(got.stdout);
    for (const rule of role.rules) {
      if (rule.resources.includes(resource.split('.')[0]))
        rule.verbs = rule.verbs.filter((one: string) => one !== verb);
    }
    role.rules = role.rules.filter(({ verbs }: { verbs: string[] }) => verbs.length > 0);
    await cluster.kubectl(['replace', '-f', '-'], { input: JSON.stringify(role) });
  }
  const [what = '', subresource] = resource.split('/');
  const which = subresource === undefined ? [what] : [what, `--subresource=${subresource}`];
  const question = ['auth', 'can-i', verb, ...which, '--as', account, ...(place.length > 0 ? place : ['-A'])];
  await vi.waitFor(async () => {
    const { stdout } = await cluster.kubectl(question, { reject: false });
    expect(stdout.trim()).toBe('no');
  }, soon);
}

/** Has the webhook do what it does with the API server. @returns what fails */
async function failures(run: string): Promise<string[]> {
  const [bounded, counted, given] = [`bounded-${run}`, `counted-${run}`, `given-${run}`];
  await Promise.all([
    make(bounded, { 'podrate.dev/max': '2M', 'podrate.dev/mode': 'warn' }),
    make(counted, { 'podrate.dev/quota': '2M' }),
    make(given, { 'podrate.dev/default': '3M', 'podrate.dev/mode': 'audit' }),
  ]);
  // Nobody admits these.
  await Promise.all([
    apply(pod(given, 'plain', {})),
    apply(pod(bounded, 'late', { rate: '1M' })),
    apply(pod(bounded, 'malformed', { rate: '10' })),
  ]);
  await webhook.start();
  const stamp = async (namespace: string, name: string) =>
    (await json('get', 'pod', name, '-n', namespace)).metadata.annotations?.['podrate.dev/limit'];
  const checks: Record<string, () => Promise<void>> = {
    'a bound is kept': async () => {
      expect((await apply(pod(bounded, 'large', { rate: '5M' }))).stderr).toContain('maximum rate per Pod is 2M');
    },
    'a quota is kept': async () => {
      expect((await apply(pod(counted, 'first', { rate: '2M' }))).stdout).toContain('created');
      expect((await apply(pod(counted, 'second', { rate: '1M' }))).stderr).toContain('exceeded quota');
      await cluster.kubectl(['delete', 'pod', 'first', '-n', counted, '--now']);
      expect((await apply(pod(counted, 'third', { rate: '2M' }))).stdout).toContain('created');
    },
    'a pod says that it has no limit': () =>
      vi.waitFor(async () => {
        const { stdout } = await cluster.kubectl(['get', 'events', '-n', bounded]);
        expect(stdout).toContain('label rate: "10" has no unit');
      }, soon),
    'a label is stamped late': () =>
      vi.waitFor(async () => expect(await stamp(bounded, 'late')).toBe('{"egress":1000000,"ingress":1000000}'), soon),
    'a default is given late': () =>
      vi.waitFor(async () => expect(await stamp(given, 'plain')).toBe('{"egress":3000000,"ingress":3000000}'), soon),
    'the use of quotas is shown': () =>
      vi.waitFor(async () => {
        expect(await webhook.page('/metrics')).toContain(
          'podrate_quota_used_bytes_per_second{namespace="known",direction="egress"} 1000000',
        );
      }, soon),
  };
  const results = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      const isMet = await check().then(
        () => true,
        () => false,
      );
      return isMet ? [] : [name];
    }),
  );
  await webhook.stop();
  const isRefused = webhook.lines.some((line) => /HTTP 403|forbidden/i.test(JSON.stringify(line)));
  return [...results.flat(), ...(isRefused ? ['nothing is refused to the webhook'] : [])];
}

test('the rights of the webhook are those that are tried here, and with all of them nothing fails', async () => {
  const tried = [...Object.keys(rights), ...Object.keys(certificateRights)];
  expect((await grantedRights(cluster, 'podrate-webhook')).toSorted()).toEqual(tried.toSorted());
  expect(await failures('all')).toEqual([]);
}, 120_000);

test.each(Object.entries(rights))(
  'without the right to %s something fails',
  async (right, wanted) => {
    await remove(right);
    try {
      const name = right.slice(0, 40).replaceAll(/[^a-z]+/g, '-');
      const failed = await failures(name.replace(/-$/, ''));
      expect(failed).toEqual(expect.arrayContaining([...wanted]));
    } finally {
      await cluster.kubectl(['apply', '-k', 'manifests']);
    }
  },
  120_000,
);

/** Patches a pod with an account's token. @returns the status and its text */
function patchPod(kubeconfig: string, namespace: string, path: string, body: object): Promise<string> {
  return patchAt(kubeconfig, `/api/v1/namespaces/${namespace}/pods/${path}`, body);
}

/** Patches an object with an account's token, which may not read it first as kubectl would. */
async function patchAt(
  kubeconfig: string,
  path: string,
  body: object,
  type = 'strategic-merge-patch',
): Promise<string> {
  const { users, clusters } = JSON.parse(await readFile(kubeconfig, 'utf8'));
  const headers = {
    Authorization: `Bearer ${users[0].user.token}`,
    'Content-Type': `application/${type}+json`,
  };
  const url = `${clusters[0].cluster.server}${path}`;
  const options = JSON.stringify({ method: 'PATCH', headers, body: JSON.stringify(body) });
  const script = `const answer = await fetch(${JSON.stringify(url)}, ${options}); console.log(answer.status, await answer.text())`;
  const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0' };
  return (await cluster.spawn(process.execPath, ['--input-type=module', '-e', script], { env })).stdout;
}

test('the token of the webhook changes nothing of a pod but its stamp, and nothing in the namespaces of the system', async () => {
  await make('owned', { 'podrate.dev/mode': 'audit' });
  await webhook.start();
  const metadata = { namespace: 'owned', name: 'web', labels: { app: 'web', rate: '1M' }, annotations: { note: 'x' } };
  await apply({ ...pod('owned', 'web', {}), metadata });
  await apply(pod('kube-system', 'web', {}));
  const kubeconfig = await accountKubeconfig(cluster, 'podrate-webhook');
  const change = (body: object, namespace = 'owned') => patchPod(kubeconfig, namespace, 'web', body);
  const wanted = { metadata: { labels: { 'podrate.dev/shaped': 'wanted' } } };
  expect(await change(wanted)).toMatch(/^200 /);
  const others = [
    { spec: { containers: [{ name: 'web', image: 'other' }] } },
    { metadata: { labels: { app: 'other' } } },
    { metadata: { labels: { app: null } } },
    { metadata: { labels: { rate: '9M' } } },
    { metadata: { annotations: { note: null } } },
    { metadata: { annotations: { other: 'x' } } },
    { metadata: { finalizers: ['example.com/hold'] } },
  ];
  for (const body of others) {
    expect(await change(body), JSON.stringify(body)).toContain("may change nothing of a pod but podrate's stamp");
  }
  expect(await change(wanted, 'kube-system')).toContain('not those of the system');
  const condition = (type: string, status: string) =>
    patchPod(kubeconfig, 'owned', 'web/status', {
      status: { conditions: [{ type, status, reason: 'AgentGone', message: 'x' }] },
    });
  expect(await condition('podrate.dev/Limited', 'Unknown')).toMatch(/^200 /);
  expect(await condition('podrate.dev/Limited', 'True')).toContain('may say of a limit only that it is not known');
  expect(await condition('Ready', 'Unknown')).toContain('podrate may change no condition but podrate.dev/Limited');
  await webhook.stop();
});

describe('the agent of a node', () => {
  const event = (more: object) => ({
    ...{ apiVersion: 'events.k8s.io/v1', kind: 'Event', metadata: { namespace: 'nodes', name: `e-${Math.random()}` } },
    ...{ eventTime: '2030-01-01T00:00:00.000000Z', type: 'Normal', reason: 'RateApplied', action: 'Limit', note: 'x' },
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace: 'nodes', name: 'on-one', uid: 'u' },
    ...{ reportingController: 'podrate.dev/agent', reportingInstance: 'one' },
    ...more,
  });
  let kubeconfig: string;
  const patch = (path: string, body: object) => patchPod(kubeconfig, 'nodes', path, body);
  const patchStatus = (name: string, status: object) => patch(`${name}/status`, { status });
  const conditions = (type: string) => ({ conditions: [{ type, status: 'True', reason: 'InForce', message: 'x' }] });

  beforeAll(async () => {
    await make('nodes', { 'podrate.dev/mode': 'audit' });
    for (const name of ['one', 'two']) {
      await apply({ apiVersion: 'v1', kind: 'Node', metadata: { name } });
      const bare = pod('nodes', `on-${name}`, {});
      await apply({ ...bare, spec: { ...bare.spec, nodeName: name } });
    }
    kubeconfig = await accountKubeconfig(cluster, 'podrate-agent', { node: 'one' });
  });

  test('may write its condition of the pods of its node, and nothing else', async () => {
    expect(await patchStatus('on-one', conditions('podrate.dev/Limited'))).toMatch(/^200 .*podrate.dev\/Limited/s);
    const refusals = await Promise.all([
      patchStatus('on-two', conditions('podrate.dev/Limited')),
      patchStatus('on-one', conditions('Ready')),
      patchStatus('on-one', { phase: 'Failed' }),
      patchStatus('on-one', { podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }] }),
      patchStatus('on-one', {
        containerStatuses: [{ name: 'web', ready: true, image: 'x', imageID: 'x', restartCount: 0 }],
      }),
      patch('on-one/status', { metadata: { annotations: { note: 'x' } } }),
      patch('on-one', { metadata: { labels: { rate: '1M' } } }),
    ]);
    expect(refusals).toEqual([
      expect.stringContaining("the agent on node 'one' may not change the status of a pod of another node"),
      expect.stringContaining('podrate may change no condition but podrate.dev/Limited'),
      expect.stringContaining("podrate may change nothing of a pod's status but its condition"),
      expect.stringContaining("podrate may change nothing of a pod's status but its condition"),
      expect.stringContaining("podrate may not change the status of a pod's containers"),
      expect.stringContaining('podrate may change nothing of a pod but its status'),
      expect.stringContaining('cannot patch resource \\"pods\\"'),
    ]);
  });

  test('may take its startup taint off its node with the component, and change nothing else of a node', async () => {
    const taints = (...keys: string[]) => ({ spec: { taints: keys.map((key) => ({ key, effect: 'NoExecute' })) } });
    const [ours, other] = ['podrate.dev/agent-not-ready', 'example.com/other'];
    const change = (node: string, body: object) => patchAt(kubeconfig, `/api/v1/nodes/${node}`, body, 'merge-patch');
    for (const name of ['one', 'two']) {
      await cluster.kubectl(['patch', 'node', name, '--type=merge', '-p', JSON.stringify(taints(other, ours))]);
    }
    expect(await change('one', taints(other))).toContain('cannot patch resource \\"nodes\\"');
    await cluster.kubectl(['apply', '-f', 'manifests/startup-taint/rights.yaml']);
    // Until the API server knows the policy.
    await vi.waitFor(async () => expect(await change('two', { spec: { unschedulable: true } })).toMatch(/^422 /), soon);
    expect(await change('two', taints(other))).toContain("the agent on node 'one' may not change another node");
    const others = [taints(), taints(ours), taints(other, 'example.com/more'), { spec: { unschedulable: true } }];
    for (const body of [...others, { metadata: { labels: { a: 'b' } } }, { metadata: { annotations: { a: 'b' } } }]) {
      expect(await change('one', body)).toContain('may change nothing of its node but take off the taint');
    }
    expect(await change('one', taints(other))).toMatch(/^200 /);
  });

  test('may write events about rates of pods, in its own name', async () => {
    const create = (more: object) =>
      cluster.kubectl(['create', '--kubeconfig', kubeconfig, '-f', '-'], {
        ...{ input: JSON.stringify(event(more)), reject: false },
      });
    expect((await create({})).stdout).toContain('created');
    const refusals = await Promise.all([
      create({ reportingInstance: 'two' }),
      create({ reportingController: 'kubelet' }),
      create({ reason: 'Killing' }),
      create({ regarding: { kind: 'Service', namespace: 'nodes', name: 'web' } }),
    ]);
    const itsOwnName = expect.stringContaining("the agent on node 'one' may write events in its own name only");
    const ratesOnly = expect.stringContaining('the agent may write events only about rates of pods');
    expect(refusals.map(({ stderr }) => stderr)).toEqual([itsOwnName, itsOwnName, ratesOnly, ratesOnly]);
  });
});
