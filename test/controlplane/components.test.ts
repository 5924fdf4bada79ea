import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type Cluster, startCluster } from '../cluster/cluster.ts';

const manifests = new URL('../../manifests', import.meta.url).pathname;

// biome-ignore lint/suspicious/noExplicitAny: reading YAML without a schema
type Manifest = any;

let cluster: Cluster;
let folder: string;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 0 });
  folder = await mkdtemp(join(tmpdir(), 'podrate-components-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
  await cluster?.stop();
});

/** Renders the shipped manifests with components. */
async function render(...components: string[]): Promise<Manifest[]> {
  const kustomization = {
    resources: [relative(folder, manifests)],
    components: components.map((component) => relative(folder, join(manifests, component))),
  };
  await writeFile(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
  const { stdout } = await cluster.kubectl(['kustomize', folder]);
  return parseAllDocuments(stdout).map((document) => document.toJS());
}

const agentOf = (rendered: Manifest[]): Manifest =>
  rendered.find(({ kind }) => kind === 'DaemonSet').spec.template.spec;

test('linux-5.10 adds the capability SYS_RESOURCE to those of the agent, and nothing else', async () => {
  const rendered = await render('linux-5.10');
  const [{ securityContext }] = agentOf(rendered).containers;
  expect(securityContext.capabilities.add.pop()).toBe('SYS_RESOURCE');
  const { stdout } = await cluster.kubectl(['kustomize', manifests]);
  expect(rendered).toEqual(parseAllDocuments(stdout).map((document) => document.toJS()));
});

test('namespaces adds the capability SYS_ADMIN, the folder of network namespaces, and nothing else', async () => {
  const rendered = await render('namespaces');
  const { volumes, containers } = agentOf(rendered);
  const [{ securityContext, volumeMounts }] = containers;
  expect(securityContext.capabilities.add.pop()).toBe('SYS_ADMIN');
  expect(securityContext.allowPrivilegeEscalation).toBe(true);
  securityContext.allowPrivilegeEscalation = false;
  expect(volumes.pop()).toMatchObject({ name: 'netns', hostPath: { path: '/run/netns' } });
  expect(volumeMounts.pop()).toMatchObject({ name: 'netns', mountPath: '/run/netns', readOnly: true });
  const { stdout } = await cluster.kubectl(['kustomize', manifests]);
  expect(rendered).toEqual(parseAllDocuments(stdout).map((document) => document.toJS()));
});

test('startup-taint adds a setting of the agent and the rights for it, and nothing else', async () => {
  const rendered = await render('startup-taint');
  expect(agentOf(rendered).containers[0].env.pop()).toEqual({ name: 'STARTUP_TAINT', value: 'true' });
  const added = ({ metadata }: Manifest) => metadata.name === 'podrate-agent-startup-taint';
  expect(rendered.filter(added)).toHaveLength(4);
  const { stdout } = await cluster.kubectl(['kustomize', manifests]);
  const base = parseAllDocuments(stdout).map((document) => document.toJS());
  expect(rendered.filter((manifest) => !added(manifest))).toEqual(base);
});

test('bandwidth-annotations adds a setting and a registration to the webhook, and nothing else', async () => {
  const rendered = await render('bandwidth-annotations');
  const find = (kind: string) => rendered.find((manifest) => manifest.kind === kind);
  expect(find('Deployment').spec.template.spec.containers[0].env.pop()).toMatchObject({ value: 'true' });
  expect(find('MutatingWebhookConfiguration').webhooks.pop()).toMatchObject({ name: 'bandwidth-pods.podrate.dev' });
  const { stdout } = await cluster.kubectl(['kustomize', manifests]);
  expect(rendered).toEqual(parseAllDocuments(stdout).map((document) => document.toJS()));
});

test.each([[['openshift']], [['openshift', 'namespaces']]])(
  '%s allows the agent what it asks for, and no more',
  async (components) => {
    const rendered = await render(...components);
    const { hostNetwork = false, serviceAccountName, volumes, containers } = agentOf(rendered);
    const [{ securityContext }] = containers;
    const constraints = rendered.find(({ kind }) => kind === 'SecurityContextConstraints');
    expect(constraints).toMatchObject({
      allowedCapabilities: securityContext.capabilities.add,
      allowHostNetwork: hostNetwork,
      allowHostPorts: hostNetwork,
      allowHostDirVolumePlugin: true,
      allowPrivilegedContainer: false,
      allowPrivilegeEscalation: securityContext.allowPrivilegeEscalation,
      readOnlyRootFilesystem: securityContext.readOnlyRootFilesystem,
      users: [`system:serviceaccount:podrate-system:${serviceAccountName}`],
    });
    expect(volumes.every((volume: Manifest) => 'hostPath' in volume)).toBe(true);
    // The token of the service account is a projected volume.
    expect(constraints.volumes).toEqual(['hostPath', 'projected']);
  },
);
