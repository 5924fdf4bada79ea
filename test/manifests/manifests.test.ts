import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { authoritySecret, serviceNames, webhookConfiguration, webhookService } from '../../certs/names.ts';
import { readConfig } from '../../nodeagent/config.ts';
import {
  defaultLabelKey,
  dscpAnnotation,
  labelKeys,
  limitedCondition,
  shapedLabel,
  stampAnnotation,
} from '../../rate/keys.ts';
import { requestedLimit } from '../../rate/limit.ts';
import { modeLabel } from '../../rate/policy.ts';
import { mirrorAnnotations } from '../../webhook/admission/pod.ts';

const directory = new URL('../../manifests/', import.meta.url).pathname;

// Manifests are data of many shapes; the tests below say what they expect of them.
// biome-ignore lint/suspicious/noExplicitAny: reading YAML without a schema
type Manifest = any;

let manifests: Manifest[];
let examples: Manifest[];

beforeAll(async () => {
  manifests = await readManifests(directory);
  examples = await readManifests(join(directory, 'examples'));
});

async function readManifests(folder: string): Promise<Manifest[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml');
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
  return texts.flatMap((text) =>
    parseAllDocuments(text, { merge: true }).map((document) => {
      expect(document.errors).toEqual([]);
      return document.toJS();
    }),
  );
}

function find(kind: string, name: string): Manifest {
  const found = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  expect(found, `${kind} ${name}`).toBeDefined();
  return found;
}

test('kustomize is told about every file', async () => {
  for (const folder of [directory, join(directory, 'examples')]) {
    const kustomization: Manifest = parse(await readFile(join(folder, 'kustomization.yaml'), 'utf8'));
    const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml');
    expect(kustomization.resources.toSorted()).toEqual(files.toSorted());
  }
});

test('the image has the version of package.json', async () => {
  const { version } = JSON.parse(await readFile(join(directory, '../package.json'), 'utf8'));
  const kustomization: Manifest = parse(await readFile(join(directory, 'kustomization.yaml'), 'utf8'));
  expect(kustomization.images).toEqual([{ name: 'podrate', newName: 'podrate', newTag: version }]);
});

const kinds = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'];

function hooks(kind: string): Manifest[] {
  return find(kind, 'podrate').webhooks;
}

/** Whether a selector takes a namespace with this mode. */
function takes({ namespaceSelector }: Manifest, mode: string | undefined): boolean {
  return namespaceSelector.matchExpressions
    .filter(({ key }: Manifest) => key === modeLabel)
    .every(({ operator, values = [] }: Manifest) => {
      if (operator === 'Exists') return mode !== undefined;
      if (operator === 'DoesNotExist') return mode === undefined;
      return values.includes(mode) === (operator === 'In');
    });
}

test.each([undefined, 'enforce', 'warn', 'audit', 'other'])(
  'each pod of a namespace with the mode %s is shown to one mutating webhook, and to a validating one if there is a policy',
  (mode) => {
    const [mutating = [], validating = []] = kinds.map((kind) =>
      hooks(kind).filter((hook) => /pods\./.test(hook.name) && takes(hook, mode)),
    );
    expect(mutating).toHaveLength(1);
    expect(validating).toHaveLength(mode === undefined ? 0 : 1);
    for (const hook of [...mutating, ...validating]) {
      // Closed where a namespace says enforce, open everywhere else.
      expect(hook.failurePolicy).toBe(mode === 'enforce' ? 'Fail' : 'Ignore');
      expect(hook.clientConfig.service.path.endsWith('/policy')).toBe(mode !== undefined);
    }
    const seconds = [...mutating, ...validating].reduce((sum, { timeoutSeconds }) => sum + timeoutSeconds, 0);
    if (mode !== 'enforce') expect(seconds).toBeLessThan(10);
  },
);

test('the conditions know every key that counts', () => {
  const counting = [dscpAnnotation, shapedLabel, stampAnnotation];
  for (const kind of kinds) {
    for (const { name, matchConditions } of hooks(kind)) {
      const text = matchConditions.at(-1).expression;
      if (/pods\./.test(name)) for (const key of counting) expect(text).toContain(`'${key}'`);
      if (name === 'templates.podrate.dev') expect(text).toContain(`'${dscpAnnotation}'`);
      if (name !== 'namespaces.podrate.dev' && name !== 'policy-templates.podrate.dev')
        expect(text).toMatch(/^\['rate'\]/);
    }
  }
  const text = JSON.stringify(find('ValidatingAdmissionPolicy', 'podrate-stamps'));
  for (const key of [...counting, ...mirrorAnnotations]) expect(text).toContain(`'${key}'`);
});

test('the webhook configuration reaches the port that the Deployment serves', () => {
  const [webhook] = find('MutatingWebhookConfiguration', 'podrate').webhooks;
  const { service } = webhook.clientConfig;
  const target = find('Service', service.name);
  expect(target.metadata.namespace).toBe(service.namespace);
  expect([service.name, service.namespace]).toEqual([webhookService, 'podrate-system']);
  const port = target.spec.ports.find((candidate: Manifest) => candidate.port === (service.port ?? 443));
  const { template, selector } = find('Deployment', 'podrate-webhook').spec;
  expect(template.metadata.labels).toMatchObject(target.spec.selector);
  expect(template.metadata.labels).toMatchObject(selector.matchLabels);
  const names = template.spec.containers[0].ports.map((candidate: Manifest) => candidate.name);
  expect(names).toContain(port.targetPort);
});

test('a dry run has no side effects: only a quota has any at all', () => {
  for (const kind of kinds) {
    for (const { name, sideEffects } of hooks(kind)) {
      const hasEffects = kind.startsWith('Validating') && /pods\./.test(name);
      expect([name, sideEffects]).toEqual([name, hasEffects ? 'NoneOnDryRun' : 'None']);
    }
  }
});

test('no container is privileged, and only the agent adds capabilities: those that limits need', () => {
  const workloads = manifests.filter((manifest) => manifest.spec?.template?.spec?.containers);
  expect(workloads.length).toBeGreaterThanOrEqual(2);
  for (const { kind, spec } of workloads) {
    for (const { securityContext } of spec.template.spec.containers) {
      expect(securityContext.privileged).toBeUndefined();
      expect(securityContext.readOnlyRootFilesystem).toBe(true);
      expect(securityContext.capabilities.drop).toEqual(['ALL']);
      expect(securityContext.allowPrivilegeEscalation).toBe(false);
      const added = kind === 'DaemonSet' ? ['BPF', 'NET_ADMIN', 'PERFMON'] : undefined;
      expect(securityContext.capabilities.add).toEqual(added);
    }
  }
});

test('the agent alone is let off the security modules, which forbid to write in a BPF file system', () => {
  for (const { kind, spec } of manifests.filter((manifest) => manifest.spec?.template?.spec?.containers)) {
    const { securityContext } = spec.template.spec.containers[0];
    const { appArmorProfile, seLinuxOptions } = securityContext;
    const expected = kind === 'DaemonSet' ? [{ type: 'Unconfined' }, { type: 'spc_t' }] : [undefined, undefined];
    expect([kind, appArmorProfile, seLinuxOptions]).toEqual([kind, ...expected]);
  }
});

test('no role has a wildcard, and the webhook may touch its own Secret and webhook configurations only', () => {
  for (const role of manifests.filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')) {
    for (const rule of role.rules) {
      expect([...rule.apiGroups, ...rule.resources, ...rule.verbs]).not.toContain('*');
      const names = { secrets: authoritySecret, mutatingwebhookconfigurations: webhookConfiguration }[
        rule.resources[0] as string
      ];
      if (names !== undefined) {
        expect(role.metadata.name).toBe('podrate-webhook-certificates');
        expect(rule.resourceNames).toEqual([names]);
      } else expect(rule.resources.join()).not.toMatch(/secrets|configurations/);
    }
  }
});

test('all that an admission may wait for has a priority level of its own, and what waits for an admission has not', () => {
  const own = ['podrate-webhook', 'podrate-webhook-certificates', 'podrate-quota'];
  const roles = manifests.filter(({ kind, metadata }) => /Role$/.test(kind) && own.includes(metadata.name));
  const each = (rules: Manifest[]): string[] =>
    rules.flatMap(({ resources, verbs }) =>
      resources.flatMap((resource: string) => verbs.map((verb: string) => `${verb} ${resource}`)),
    );
  const granted = new Set(each(roles.flatMap(({ rules }) => rules)));
  const late = new Set([
    ...['patch pods', 'patch pods/status', 'create events'],
    ...['list namespaces', 'watch namespaces', 'list endpointslices'],
  ]);
  const { spec } = find('FlowSchema', 'podrate-webhook');
  expect(new Set(each(spec.rules[0].resourceRules))).toEqual(granted.difference(late));
  expect(granted.isSupersetOf(late)).toBe(true);
  expect(find('PriorityLevelConfiguration', spec.priorityLevelConfiguration.name).spec.type).toBe('Limited');
});

test('the Service whose endpoints tell where agents are ready selects the agents', () => {
  const { selector, clusterIP } = find('Service', 'podrate-agent').spec;
  expect(find('DaemonSet', 'podrate-agent').spec.template.metadata.labels).toMatchObject(selector);
  expect(clusterIP).toBe('None');
});

test('the policy that binds the agent to its node knows its account and its condition', () => {
  const text = JSON.stringify(find('ValidatingAdmissionPolicy', 'podrate-own-condition'));
  expect(text).toContain('system:serviceaccount:podrate-system:podrate-agent');
  expect(text).toContain(limitedCondition);
  expect(find('DaemonSet', 'podrate-agent').spec.template.spec.serviceAccountName).toBe('podrate-agent');
});

test("the agent is in the node's network, where the queues go, and listens only there unless a setting says more", () => {
  const { hostNetwork, dnsPolicy, containers } = find('DaemonSet', 'podrate-agent').spec.template.spec;
  expect({ hostNetwork, dnsPolicy }).toEqual({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' });
  const [{ env, ports, ...agent }] = containers;
  const settings = Object.fromEntries(
    env.flatMap(({ name, valueFrom }: Manifest) => {
      const { configMapKeyRef: ref } = valueFrom;
      return ref === undefined ? [] : [[name, ref]];
    }),
  );
  const optional = (key: string) => ({ name: 'podrate', key, optional: true });
  expect(settings).toMatchObject({ INGRESS_QUEUE: optional('ingress-queue'), ADDRESS: optional('agent-address') });
  const { address, port, ingressQueue } = readConfig([], {});
  expect(ingressQueue).toBe(true);
  expect(ports).toEqual([{ name: 'http', containerPort: port }]);
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
    expect(agent[probe].httpGet).toMatchObject({ host: address, port: 'http' });
  }
});

test('with the component cert-manager, the issued certificate has the names of the Service and is where the webhook reads it', async () => {
  const folder = join(directory, 'cert-manager');
  const objects = parseAllDocuments(await readFile(join(folder, 'certificates.yaml'), 'utf8')).map((one) => one.toJS());
  const [authority, serving] = objects.filter(({ kind }: Manifest) => kind === 'Certificate');
  const issuer = objects.find(({ kind, spec }: Manifest) => kind === 'Issuer' && spec.ca !== undefined);
  expect([authority.spec.isCA, authority.spec.secretName]).toEqual([true, issuer.spec.ca.secretName]);
  expect(serving.spec.issuerRef.name).toBe(issuer.metadata.name);
  expect(serviceNames(webhookService, 'podrate-system')).toEqual(expect.arrayContaining(serving.spec.dnsNames));
  expect(serving.spec.dnsNames).toContain(`${webhookService}.podrate-system.svc`);
  const { patches } = parse(await readFile(join(folder, 'kustomization.yaml'), 'utf8'));
  const [annotation, rights, deployment] = patches.map(({ patch }: Manifest) => parse(patch));
  expect(annotation[0].value['cert-manager.io/inject-ca-from']).toBe(`podrate-system/${serving.metadata.name}`);
  expect(find('ClusterRole', rights.metadata.name).rules[0].resources).toContain('mutatingwebhookconfigurations');
  const { containers, volumes } = deployment.spec.template.spec;
  expect(volumes[0].secret.secretName).toBe(serving.spec.secretName);
  expect(containers[0].env).toEqual([{ name: 'PODRATE_TLS_DIR', value: containers[0].volumeMounts[0].mountPath }]);
});

test('every example but the peer asks for a limit that is valid', () => {
  const keys = labelKeys(defaultLabelKey);
  for (const example of examples) {
    const { labels } = (example.spec.template ?? example).metadata;
    const limit = requestedLimit(labels, keys);
    if (example.metadata.name === 'peer') expect(limit).toBeUndefined();
    else expect(Object.keys(limit ?? {})).toEqual(['egress', 'ingress']);
  }
});
