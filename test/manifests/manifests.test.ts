import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { authoritySecret, serviceNames, webhookConfiguration, webhookService } from '../../certs/names.ts';
import { readQuantity } from '../../rate/grammar.ts';
import {
  defaultLabelKey,
  dscpAnnotation,
  labelKeys,
  limitedCondition,
  policyAnnotation,
  shapedLabel,
  stampAnnotation,
} from '../../rate/keys.ts';
import { requestedLimit } from '../../rate/limit.ts';
import { modeLabel } from '../../rate/policy.ts';
import { maxRate, minRate } from '../../rate/rate.ts';
import { mirrorAnnotations } from '../../webhook/pod.ts';

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
    parseAllDocuments(text).map((document) => {
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

function hooks(kind: string, name: string): Manifest[] {
  return find(kind, 'podrate').webhooks.filter((webhook: Manifest) => webhook.name === `${name}.podrate.dev`);
}

function quoted(webhook: Manifest): Set<string> {
  return new Set([...JSON.stringify(webhook.matchConditions).matchAll(/'([^']+)'/g)].map(([, text]) => text as string));
}

const keys = labelKeys(defaultLabelKey);
const rates = [keys.both, keys.egress, keys.ingress, dscpAnnotation];
const stamps = [shapedLabel, stampAnnotation];

test.each(kinds)('new pods with the usual label are told by a selector, the others by any other key: %s', (kind) => {
  const selector = (operator: string) => ({ matchExpressions: [{ key: keys.both, operator }] });
  const [[usual], [others]] = [hooks(kind, 'pods'), hooks(kind, 'other-pods')];
  expect([usual.objectSelector, others.objectSelector]).toEqual([selector('Exists'), selector('DoesNotExist')]);
  expect(quoted(others)).toEqual(new Set([...rates, ...stamps]).difference(new Set([keys.both])));
  // They differ in nothing else.
  const { name: _, objectSelector: __, matchConditions: ___, ...shared } = others;
  expect(usual).toMatchObject(shared);
  expect(usual.rules).toHaveLength(1);
  expect(usual.rules[0].resources).toEqual(['pods']);
  expect(usual.rules[0].operations).toContain('CREATE');
});

test('new pods with the usual label are mutated always, and each is validated unless it is plain and has no policy', () => {
  const [mutated] = hooks('MutatingWebhookConfiguration', 'pods');
  expect(mutated.matchConditions).toBeUndefined();
  const [usual] = hooks('ValidatingWebhookConfiguration', 'pods');
  const [unmarked] = hooks('ValidatingWebhookConfiguration', 'unmarked-pods');
  const expressions = [usual, unmarked].map(({ matchConditions }) => matchConditions[0].expression);
  expect([usual.matchConditions.length, unmarked.matchConditions.length]).toEqual([1, 1]);
  expect(expressions[0]).toBe(`!(${expressions[1]})`);
  // Nothing that has a say in what the stamp should be is forgotten.
  for (const key of [...rates, ...stamps, ...mirrorAnnotations, policyAnnotation]) {
    expect(expressions[1]).toContain(`'${key}'`);
  }
  const units = [...expressions[1].matchAll(/'(\w+)': (\d+)/g)];
  expect(units).toHaveLength(9);
  for (const [, unit, factor] of units) {
    const { numerator, denominator } = readQuantity(`1${unit}`) ?? { numerator: 0n, denominator: 1n };
    expect([unit, BigInt(factor ?? 0) * denominator]).toEqual([unit, numerator]);
  }
  expect(expressions[1]).toContain(`${minRate} <= bytes && bytes <= ${maxRate}`);
  // They differ in nothing else than where they apply.
  const { name: _, namespaceSelector, matchConditions: __, ...shared } = unmarked;
  expect(usual).toMatchObject(shared);
  expect(namespaceSelector.matchExpressions.at(-1)).toEqual({ key: modeLabel, operator: 'Exists' });
  expect(namespaceSelector.matchExpressions.slice(0, -1)).toEqual(usual.namespaceSelector.matchExpressions);
});

test('a change of a pod is mutated and validated whichever of the keys it is about', () => {
  const changes = (kind: string) =>
    find(kind, 'podrate').webhooks.filter(({ rules }: Manifest) =>
      rules.some(({ resources, operations }: Manifest) => resources.includes('pods') && operations.includes('UPDATE')),
    );
  const names = kinds.map((kind) => changes(kind).map(({ name }: Manifest) => name));
  expect(names).toEqual([['pods.podrate.dev', 'other-pods.podrate.dev'], ['changed-pods.podrate.dev']]);
  const [changed] = hooks('ValidatingWebhookConfiguration', 'changed-pods');
  expect(changed.objectSelector).toBeUndefined();
  expect(quoted(changed)).toEqual(new Set([...rates, ...stamps, ...mirrorAnnotations]));
});

test('the registrations agree on the keys that count, and send labelled pods wherever they are', () => {
  const all = (name: string) => kinds.flatMap((kind) => hooks(kind, name));
  const [stampHook] = all('stamps');
  expect(quoted(stampHook)).toEqual(new Set([...rates, ...stamps, ...mirrorAnnotations]));
  for (const webhook of ['pods', 'other-pods', 'changed-pods', 'stamps'].flatMap(all)) {
    expect(JSON.stringify(webhook.namespaceSelector)).not.toContain(modeLabel);
  }
  for (const webhook of ['templates', 'policy-templates'].flatMap(all)) {
    expect(quoted(webhook)).toEqual(new Set([...rates, 'CronJob']));
  }
  // Between them, every new pod and every template of a namespace with a policy is validated once.
  const condition = (webhook: Manifest, name: string) =>
    webhook.matchConditions.find((found: Manifest) => found.name === name).expression;
  const [[some], [others]] = [all('templates'), all('policy-templates')];
  expect(others.rules).toEqual(some.rules);
  expect(condition(others, 'has-neither-rate-nor-mark')).toBe(`!(${condition(some, 'has-rate-or-mark')})`);
  const [other] = hooks('ValidatingWebhookConfiguration', 'other-pods');
  const [plain] = hooks('ValidatingWebhookConfiguration', 'policy-pods');
  expect([plain.objectSelector, plain.rules]).toEqual([other.objectSelector, other.rules]);
  expect(condition(plain, 'has-neither-rate-nor-stamp')).toBe(`!(${condition(other, 'has-other-rate-or-stamp')})`);
});

test('the webhook configuration reaches the port that the Deployment serves', () => {
  const [webhook] = find('MutatingWebhookConfiguration', 'podrate').webhooks;
  const { service } = webhook.clientConfig;
  const target = find('Service', service.name);
  expect(target.metadata.namespace).toBe(service.namespace);
  expect([service.name, service.namespace]).toEqual([webhookService, 'podrate-system']);
  const port = target.spec.ports.find((candidate: Manifest) => candidate.port === service.port);
  const { template, selector } = find('Deployment', 'podrate-webhook').spec;
  expect(template.metadata.labels).toMatchObject(target.spec.selector);
  expect(template.metadata.labels).toMatchObject(selector.matchLabels);
  const names = template.spec.containers[0].ports.map((candidate: Manifest) => candidate.name);
  expect(names).toContain(port.targetPort);
});

test.each(kinds)('a webhook that is away stops nothing: %s', (kind) => {
  const { webhooks } = find(kind, 'podrate');
  expect(webhooks.length).toBeGreaterThanOrEqual(2);
  for (const webhook of webhooks) {
    expect(webhook.failurePolicy).toBe('Ignore');
    // Only what may have to wait for a ledger has longer.
    const isCounted = kind.startsWith('Validating') && /^(other-|changed-|unmarked-)?pods\./.test(webhook.name);
    expect([webhook.name, webhook.timeoutSeconds]).toEqual([webhook.name, isCounted ? 10 : 5]);
  }
});

test('a dry run has no side effects: only what a quota counts, and changes of policies, have any at all', () => {
  for (const kind of kinds) {
    for (const { name, sideEffects } of find(kind, 'podrate').webhooks) {
      const hasEffects = kind.startsWith('Validating') && /^((other-|changed-|unmarked-)?pods|namespaces)\./.test(name);
      expect([name, sideEffects]).toEqual([name, hasEffects ? 'NoneOnDryRun' : 'None']);
    }
  }
});

test('nothing is shipped that applying the manifests again could not change, or would reset', () => {
  expect(manifests.filter(({ kind }) => ['Job', 'CronJob', 'Pod', 'Secret'].includes(kind))).toEqual([]);
  for (const kind of kinds) expect(JSON.stringify(find(kind, 'podrate'))).not.toContain('caBundle');
});

test('no container is privileged, and only the agent adds capabilities', () => {
  const workloads = manifests.filter((manifest) => manifest.spec?.template?.spec?.containers);
  expect(workloads.length).toBeGreaterThanOrEqual(2);
  for (const { kind, spec } of workloads) {
    for (const { securityContext } of spec.template.spec.containers) {
      expect(securityContext.privileged).toBeUndefined();
      expect(securityContext.readOnlyRootFilesystem).toBe(true);
      expect(securityContext.capabilities.drop).toEqual(['ALL']);
      if (kind !== 'DaemonSet') expect(securityContext.capabilities.add).toBeUndefined();
    }
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
  const own = ['podrate-webhook', 'podrate-quota'];
  const roles = manifests.filter(({ kind, metadata }) => /Role$/.test(kind) && own.includes(metadata.name));
  const each = (rules: Manifest[]): string[] =>
    rules.flatMap(({ resources, verbs }) =>
      resources.flatMap((resource: string) => verbs.map((verb: string) => `${verb} ${resource}`)),
    );
  const granted = new Set(each(roles.flatMap(({ rules }) => rules)));
  const late = new Set(['patch pods', 'list namespaces']);
  const { spec } = find('FlowSchema', 'podrate-webhook');
  expect(new Set(each(spec.rules[0].resourceRules))).toEqual(granted.difference(late));
  expect(granted.isSupersetOf(late)).toBe(true);
  expect(find('PriorityLevelConfiguration', spec.priorityLevelConfiguration.name).spec.type).toBe('Limited');
});

test('the policy that binds the agent to its node knows its account and its condition', () => {
  const text = JSON.stringify(find('ValidatingAdmissionPolicy', 'podrate-agent-own-node'));
  expect(text).toContain('system:serviceaccount:podrate-system:podrate-agent');
  expect(text).toContain(limitedCondition);
  expect(find('DaemonSet', 'podrate-agent').spec.template.spec.serviceAccountName).toBe('podrate-agent');
});

test('the agent takes the switch of queues from the ConfigMap, and its network namespace from the component', async () => {
  const { metadata, spec } = find('DaemonSet', 'podrate-agent');
  const { hostNetwork, containers } = spec.template.spec;
  expect(hostNetwork).toBeUndefined();
  expect(containers[0].env).toContainEqual({
    name: 'INGRESS_QUEUE',
    valueFrom: { configMapKeyRef: { name: 'podrate', key: 'ingress-queue', optional: true } },
  });
  const component = parse(await readFile(join(directory, 'ingress-queue/kustomization.yaml'), 'utf8'));
  const patch = parse(component.patches[0].patch);
  expect(patch).toMatchObject({ kind: 'DaemonSet', metadata: { name: metadata.name, namespace: metadata.namespace } });
  expect(patch.spec).toEqual({ template: { spec: { hostNetwork: true } } });
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
