import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Cluster, startCluster } from '../../cluster/cluster.ts';
import { list, namespace, pod, type Strings, spec, stamp } from '../harness/policy-objects.ts';
import { type HostWebhook, installWebhook } from '../harness/webhook.ts';

let cluster: Cluster;
let webhook: HostWebhook;

const place = 'works';
const nodeName = 'worker';
const template = (app: string, labels: Strings, more = {}) => ({
  metadata: { labels: { app, ...labels } },
  spec: { ...spec, ...more },
});
const once = { restartPolicy: 'Never' };
const workload = (apiVersion: string, kind: string, name: string, spec: object) => ({
  ...{ apiVersion, kind },
  metadata: { namespace: place, name },
  spec,
});
const selected = (name: string, labels: Strings) => ({
  selector: { matchLabels: { app: name } },
  template: template(name, labels),
});

/** Two of each kind: one whose template says nothing, one with a rate that is not written canonically. */
const workloads = [
  { suffix: 'plain', labels: {} },
  { suffix: 'rated', labels: { rate: '2000K' } },
].flatMap(({ suffix, labels }) => [
  workload('apps/v1', 'Deployment', `deployment-${suffix}`, selected(`deployment-${suffix}`, labels)),
  workload('apps/v1', 'DaemonSet', `daemonset-${suffix}`, selected(`daemonset-${suffix}`, labels)),
  workload('apps/v1', 'StatefulSet', `statefulset-${suffix}`, selected(`statefulset-${suffix}`, labels)),
  workload('batch/v1', 'Job', `job-${suffix}`, { template: template(`job-${suffix}`, labels, once) }),
  workload('batch/v1', 'CronJob', `cronjob-${suffix}`, {
    ...{ schedule: '0 0 1 1 *', suspend: true },
    jobTemplate: { spec: { template: template(`cronjob-${suffix}`, labels, once) } },
  }),
]);
const manifest = list(workloads);

// Daemons want a node. No kubelet answers for this one, so it stays as it is written here.
const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName } };
const policy = { mode: 'enforce', default: '1M', max: '5M' };

const kubectl = async (...args: string[]) => (await cluster.kubectl([...args, '-n', place])).stdout;
const apply = (...items: object[]) => cluster.kubectl(['apply', '-f', '-'], { input: list(items) });

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  webhook = await installWebhook(cluster);
  await apply(node, namespace(place, policy));
  await vi.waitFor(() => kubectl('get', 'serviceaccount', 'default'), { timeout: 60_000, interval: 100 });
  await cluster.kubectl(['apply', '-f', '-'], { input: manifest });
});

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

interface Pod {
  readonly metadata: { readonly labels: Strings; readonly annotations: Strings };
  readonly spec: { readonly ephemeralContainers?: readonly { readonly name: string }[] };
}
const podsOf = async (app: string): Promise<Pod[]> =>
  JSON.parse(await kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'json')).items;
const getPod = async (name: string): Promise<Pod> => JSON.parse(await kubectl('get', 'pod', name, '-o', 'json'));

describe('the pods of a', () => {
  test.each(['Deployment', 'DaemonSet', 'StatefulSet', 'Job', 'CronJob'])(
    "%s get the namespace's default, or the rate of their template as it is written there",
    async (kind) => {
      const name = kind.toLowerCase();
      for (const [suffix, rate, label] of [
        ['plain', 1_000_000, undefined],
        ['rated', 2_000_000, '2000K'],
      ] as const) {
        const app = `${name}-${suffix}`;
        if (kind === 'CronJob') await kubectl('create', 'job', `now-${suffix}`, `--from=cronjob/${app}`);
        const [pod] = await vi.waitFor(
          async () => {
            const pods = await podsOf(app);
            expect(pods).toHaveLength(1);
            return pods;
          },
          { timeout: 60_000, interval: 100 },
        );
        expect(pod?.metadata.annotations['podrate.dev/limit']).toBe(stamp(rate));
        expect(pod?.metadata.labels).toMatchObject({ app, 'podrate.dev/shaped': 'true' });
        expect(pod?.metadata.labels.rate).toBe(label);
      }
    },
  );
});

test('kubectl diff finds nothing after kubectl apply of every kind', async () => {
  const diff = () => cluster.kubectl(['diff', '-f', '-'], { input: manifest, reject: false });
  expect(await diff()).toMatchObject({ exitCode: 0, stdout: '' });
  expect((await cluster.kubectl(['apply', '-f', '-'], { input: manifest })).stdout).not.toMatch(/configured|created/);
});

test('kubectl debug adds a container to a stamped pod, and its copy of a pod gets a limit of its own', async () => {
  await apply(pod(place, 'seen', { rate: '2M' }));
  await kubectl('debug', 'seen', '--image=tools', '--container=debugger', '--profile=general');
  const debugged = await getPod('seen');
  expect(debugged.spec.ephemeralContainers).toMatchObject([{ name: 'debugger' }]);
  expect(debugged.metadata.annotations['podrate.dev/limit']).toBe(stamp(2_000_000));
  // kubectl takes the annotations along, and with them the stamp, but no labels.
  await kubectl('debug', 'seen', '--image=tools', '--copy-to=copy', '--profile=general');
  const copy = await getPod('copy');
  expect(copy.metadata.annotations['podrate.dev/limit']).toBe(stamp(1_000_000));
  expect(copy.metadata.labels).toEqual({ 'podrate.dev/shaped': 'true' });
});

describe('kubectl auth can-i', () => {
  /** What an account may do in a namespace, as `resource [verbs]`, apart from what everybody may. */
  const rights = async (account: string, where: string) => {
    const list = async (user: string) => {
      const args = ['auth', 'can-i', '--list', '--no-headers', '-n', where, `--as=system:serviceaccount:${user}`];
      return (await cluster.kubectl(args)).stdout.split('\n').map((line) => line.trim().replace(/\s+/g, ' '));
    };
    const everybody = new Set(await list('default:default'));
    const own = (await list(account)).filter((line) => !everybody.has(line));
    // Several roles give verbs of one resource, in an order of their own.
    const verbs = new Map<string, string[]>();
    for (const line of own) {
      const [, what = line, granted = ''] = /^(.*) \[([^\]]*)\]$/.exec(line) ?? [];
      verbs.set(what, [...(verbs.get(what) ?? []), ...granted.split(' ')]);
    }
    return [...verbs].map(([what, granted]) => `${what} [${[...new Set(granted)].toSorted().join(' ')}]`).toSorted();
  };

  const registrations = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'];
  const everywhere = [
    'bandwidthledgers.podrate.dev [] [] [create get list update]',
    'events.events.k8s.io [] [] [create]',
    'namespaces [] [] [get list watch]',
    'pods [] [] [list patch watch]',
    'pods/status [] [] [patch]',
    ...registrations.map((kind) => `${kind}.admissionregistration.k8s.io [] [podrate] [get patch]`),
  ];
  const own = [
    'endpointslices.discovery.k8s.io [] [] [list]',
    'secrets [] [podrate-webhook-ca] [create get patch update]',
  ];

  test.each([
    ['webhook', place, everywhere],
    ['webhook', 'podrate-system', [...everywhere, ...own]],
    ...[place, 'podrate-system'].map((where): [string, string, string[]] => [
      ...(['agent', where] as const),
      ['events.events.k8s.io [] [] [create]', 'pods [] [] [list watch]', 'pods/status [] [] [patch]'],
    ]),
  ])('shows for the %s in the namespace %s what it needs, and nothing else', async (account, where, wanted) => {
    expect(await rights(`podrate-system:podrate-${account}`, where)).toEqual(wanted.toSorted());
  });
});
