import process from 'node:process';
import { beforeAll, expect, test, vi } from 'vitest';
import { issueSet, writePair } from '../../certs/pairs.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import { type PolicyCluster, pod, type Strings, spec, stamp } from './policy-objects.ts';

/**
 * Tests that other people's tools work with pods under a policy as they do without podrate. They share the control plane of
 * policy.test.ts, because starting one takes longer than the tests.
 */
export function testOtherTools(clusterOf: () => Cluster, policies: PolicyCluster): void {
  const { apply, kubectl, get, stampOf, makeNamespace } = policies;
  const deployment = (labels: Strings) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { namespace: 'tools', name: 'web' },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web', ...labels } }, spec },
    },
  });
  const diff = (object: object, ...args: string[]) =>
    clusterOf().kubectl(['diff', '-f', '-', ...args], { input: JSON.stringify(object), reject: false });
  const pods = async () => (await get('pods', '-n', 'tools', '-l', 'app=web')).items;
  const stamps = async () =>
    (await pods())
      .filter(({ metadata }: { metadata: { deletionTimestamp?: string } }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata }: { metadata: { annotations: Strings } }) => metadata.annotations['podrate.dev/limit']);
  const areStamped = (value: string, count: number) =>
    vi.waitFor(async () => expect(await stamps()).toEqual(Array(count).fill(value)), {
      timeout: 60_000,
      interval: 200,
    });

  beforeAll(() => makeNamespace('tools', { mode: 'enforce', default: '1M', max: '5M' }));

  test('find no drift in a Deployment: applied again, with server-side apply, and with kubectl diff', async () => {
    const server = ['--server-side', '--field-manager=gitops'];
    const input = JSON.stringify(deployment({ rate: '2000K' }));
    await clusterOf().kubectl(['apply', '-f', '-', ...server], { input });
    const { metadata } = await get('deployment', 'web', '-n', 'tools');
    await clusterOf().kubectl(['apply', '-f', '-', ...server], { input });
    expect((await get('deployment', 'web', '-n', 'tools')).metadata.generation).toBe(metadata.generation);
    expect(await diff(deployment({ rate: '2000K' }), ...server)).toMatchObject({ exitCode: 0, stdout: '' });
    await areStamped(stamp(2_000_000), 2);
  });

  test('scale a Deployment and roll it out with another rate, and without one', async () => {
    await clusterOf().kubectl(['scale', 'deployment', 'web', '-n', 'tools', '--replicas=3']);
    await areStamped(stamp(2_000_000), 3);
    const change = (rate: string | null) =>
      clusterOf().kubectl([
        'patch',
        'deployment',
        'web',
        '-n',
        'tools',
        '-p',
        JSON.stringify({
          spec: { strategy: { type: 'Recreate', rollingUpdate: null }, template: { metadata: { labels: { rate } } } },
        }),
      ]);
    await change('3M');
    await areStamped(stamp(3_000_000), 3);
    await change(null);
    await areStamped(stamp(1_000_000), 3);
    await clusterOf().kubectl(['rollout', 'undo', 'deployment', 'web', '-n', 'tools']);
    await areStamped(stamp(3_000_000), 3);
  });

  test('differ about a bare pod in nothing but the stamp', async () => {
    const bare = pod('tools', 'bare', { rate: '2M' });
    const server = ['--server-side', '--field-manager=gitops'];
    await clusterOf().kubectl(['apply', '-f', '-', ...server], { input: JSON.stringify(bare) });
    await clusterOf().kubectl(['apply', '-f', '-', ...server], { input: JSON.stringify(bare) });
    expect(await diff(bare, ...server)).toMatchObject({ exitCode: 0, stdout: '' });
    expect(await stampOf('tools', 'bare')).toBe(stamp(2_000_000));
  });

  test('run pods with kubectl run, in a restricted namespace too, and ask who may see namespaces', async () => {
    await kubectl('run', 'ran', '-n', 'tools', '--image=web', '--labels=rate=2M');
    expect(await stampOf('tools', 'ran')).toBe(stamp(2_000_000));
    await makeNamespace('confined', { mode: 'enforce' });
    await kubectl('label', 'namespace', 'confined', 'pod-security.kubernetes.io/enforce=restricted');
    const restricted = {
      ...pod('confined', 'restricted', { rate: '2M' }),
      spec: {
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            ...spec.containers[0],
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          },
        ],
      },
    };
    expect(await apply(restricted)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await stampOf('confined', 'restricted')).toBe(stamp(2_000_000));
    const account = '--as=system:serviceaccount:podrate-system:podrate-webhook';
    expect((await kubectl('auth', 'can-i', 'get', 'namespaces', account)).stdout).toBe('yes');
    expect((await kubectl('auth', 'can-i', 'update', 'namespaces', account)).stdout).toBe('no');
  });

  test('change the label after podrate: it is asked again, and what the policy does not allow is refused in the end', async () => {
    const second = { name: 'second', port: 8444, targetPort: 8444 };
    await kubectl(
      'patch',
      'service',
      'podrate-webhook',
      '-n',
      'podrate-system',
      '-p',
      JSON.stringify({ spec: { ports: [second] } }),
    );
    const endpoints = {
      ports: [
        { name: 'https', port: 8443, protocol: 'TCP' },
        { name: 'second', port: 8444, protocol: 'TCP' },
      ],
    };
    const slice = [
      'patch',
      'endpointslice',
      'podrate-webhook-on-host-8443',
      '-n',
      'podrate-system',
      '--type=merge',
      '-p',
    ];
    await kubectl(...slice, JSON.stringify(endpoints));
    const [{ clientConfig }] = (await get('mutatingwebhookconfiguration', 'podrate')).webhooks;
    const { authority, serving } = await issueSet(['podrate-webhook.podrate-system.svc']);
    const folder = `${clusterOf().dir}/second-tls`;
    await writePair(folder, serving);
    const caBundle = Buffer.from(authority.certificate).toString('base64');
    const registration = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: 'second' },
      webhooks: [
        {
          name: 'second.example.com',
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          failurePolicy: 'Fail',
          clientConfig: { caBundle, service: { ...clientConfig.service, port: 8444, path: '/' } },
          objectSelector: { matchLabels: { second: 'yes' } },
          rules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'] }],
        },
      ],
    };
    const relabelled = async (rate: string | undefined, ask: () => Promise<Awaited<ReturnType<typeof apply>>>) => {
      const args = [
        'test/controlplane/harness/second-webhook.ts',
        '8444',
        folder,
        ...(rate === undefined ? [] : [rate]),
      ];
      const child = clusterOf().spawn(process.execPath, args, { reject: false });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      try {
        return await ask();
      } finally {
        child.kill();
        await child;
      }
    };
    const create = (name: string, rate: string | undefined, labels: Strings = { rate: '1M' }, namespace = 'tools') =>
      relabelled(rate, () => apply(pod(namespace, name, { ...labels, second: 'yes' })));
    expect(await apply(registration)).toMatchObject({ exitCode: 0 });
    // Until the API server knows the registration and where it leads.
    const input = JSON.stringify(pod('tools', 'early', { rate: '1M', second: 'yes' }));
    await relabelled('3M', () =>
      vi.waitFor(
        async () => {
          const dry = ['apply', '-f', '-', '--dry-run=server', '-o', 'jsonpath={.metadata.labels.rate}'];
          const early = await clusterOf().kubectl(dry, { input, reject: false });
          expect(early.stdout).toBe('3M');
          return early;
        },
        { timeout: 60_000, interval: 200 },
      ),
    );
    expect(await create('again', '3M')).toMatchObject({ exitCode: 0 });
    expect(await stampOf('tools', 'again')).toBe(stamp(3_000_000));
    expect(await create('labelled', '2M', {})).toMatchObject({ exitCode: 0 });
    expect(await stampOf('tools', 'labelled')).toBe(stamp(2_000_000));
    expect((await create('raised', '9M')).stderr).toContain('maximum rate per Pod is 5M, but limit is 9M');
    expect(await create('removed', undefined, { rate: '4M' })).toMatchObject({ exitCode: 0 });
    expect(await stampOf('tools', 'removed')).toBe(stamp(1_000_000));
    // Without a policy podrate is not asked again where the label came or went: the stamp is corrected later.
    await makeNamespace('unruled', {});
    expect(await create('again', '3M', { rate: '4M' }, 'unruled')).toMatchObject({ exitCode: 0 });
    expect(await stampOf('unruled', 'again')).toBe(stamp(3_000_000));
    const late = await create('late', '2M', {}, 'unruled');
    expect(late).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('it starts without its limit') });
    await vi.waitFor(async () => expect(await stampOf('unruled', 'late')).toBe(stamp(2_000_000)), {
      timeout: 90_000,
      interval: 250,
    });
    await kubectl('delete', 'mutatingwebhookconfiguration', 'second');
  });

  test('see the stamp in a ValidatingAdmissionPolicy', async () => {
    const demand = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name: 'stamped' },
      spec: {
        matchConstraints: {
          resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'] }],
        },
        validations: [
          { expression: "object.metadata.?annotations[?'podrate.dev/limit'].hasValue()", message: 'no stamp' },
        ],
      },
    };
    const binding = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name: 'stamped' },
      spec: {
        policyName: 'stamped',
        validationActions: ['Deny'],
        matchResources: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'judged' } } },
      },
    };
    await makeNamespace('judged', {});
    await apply(demand, binding);
    // A dry run: until the policy is in force, the pod would be admitted.
    const args = ['apply', '-f', '-', '--dry-run=server'];
    const input = JSON.stringify(pod('judged', 'plain'));
    const refused = () => clusterOf().kubectl(args, { input, reject: false });
    await vi.waitFor(async () => expect((await refused()).stderr).toContain('no stamp'), {
      timeout: 60_000,
      interval: 200,
    });
    expect(await apply(pod('judged', 'limited', { rate: '1M' }))).toMatchObject({ exitCode: 0 });
  });
}
