import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { readConfig } from '../../nodeagent/config.ts';
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

test('the Job that installs certificates goes when it is done, so that the next version can be applied', () => {
  expect(find('Job', 'podrate-certs').spec.ttlSecondsAfterFinished).toBeGreaterThan(0);
});

test('no container is privileged, and only the agent adds capabilities', () => {
  const workloads = manifests.filter((manifest) => manifest.spec?.template?.spec?.containers);
  expect(workloads.length).toBeGreaterThanOrEqual(3);
  for (const { kind, spec } of workloads) {
    for (const { securityContext } of spec.template.spec.containers) {
      expect(securityContext.privileged).toBeUndefined();
      expect(securityContext.readOnlyRootFilesystem).toBe(true);
      expect(securityContext.capabilities.drop).toEqual(['ALL']);
      if (kind !== 'DaemonSet') expect(securityContext.capabilities.add).toBeUndefined();
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

test('the renewing job runs what the installing job runs', () => {
  const once = find('Job', 'podrate-certs').spec.template;
  const renewal = find('CronJob', 'podrate-certs-renew').spec.jobTemplate.spec.template;
  expect(renewal).toEqual(once);
});

test('no role has a wildcard, and only the certificate job may touch Secrets', () => {
  for (const role of manifests.filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')) {
    for (const rule of role.rules) {
      expect([...rule.apiGroups, ...rule.resources, ...rule.verbs]).not.toContain('*');
      if (rule.resources.includes('secrets')) expect(role.metadata.name).toBe('podrate-certs');
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

test('every example but the peer asks for a limit that is valid', () => {
  const keys = labelKeys(defaultLabelKey);
  for (const example of examples) {
    const { labels } = (example.spec.template ?? example).metadata;
    const limit = requestedLimit(labels, keys);
    if (example.metadata.name === 'peer') expect(limit).toBeUndefined();
    else expect(Object.keys(limit ?? {})).toEqual(['egress', 'ingress']);
  }
});
