/** What admission would answer about manifests, without a cluster: the webhook's own decisions on what files say. */
import jsonpatch from 'jsonpatch';
import { stringify } from 'yaml';
import { z } from 'zod';
import { defaultLabelKey, KeyError, type LabelKeys, labelKeys } from '../../rate/keys.ts';
import type { Labels } from '../../rate/limit.ts';
import { type Admission, createAdmission } from '../../webhook/admission/admission.ts';
import type { Decision } from '../../webhook/admission/decision.ts';
import { CommandError } from '../errors.ts';
import { type ManifestObject, readManifests } from './manifests.ts';

/** The options of the command, as the user wrote them. */
export interface AdmitOptions {
  readonly file?: string | undefined;
  readonly 'namespace-file'?: string | undefined;
  /** The installation's key of the rate label. */
  readonly 'label-key'?: string | undefined;
}

/** The answer about one object. */
export interface Admitted {
  /** `kind/name`, with the namespace in front where there is one. */
  readonly object: string;
  readonly allowed: boolean;
  /** Of a refusal, or of what the modes warn and audit let pass; null if there is nothing wrong. */
  readonly code: string | null;
  /** HTTP status of a refusal. */
  readonly status: number | null;
  readonly message: string | null;
  readonly warnings: readonly string[];
  /** The object as it would be stored; null if it is refused. */
  readonly result: unknown;
}

/** The kinds that admission decides about. */
const resources: Readonly<Record<string, string>> = {
  'v1/Pod': 'pods',
  'v1/Namespace': 'namespaces',
  'v1/ReplicationController': 'replicationcontrollers',
  'apps/v1/Deployment': 'deployments',
  'apps/v1/StatefulSet': 'statefulsets',
  'apps/v1/DaemonSet': 'daemonsets',
  'apps/v1/ReplicaSet': 'replicasets',
  'batch/v1/Job': 'jobs',
  'batch/v1/CronJob': 'cronjobs',
};
const labelled = z.object({ metadata: z.object({ labels: z.record(z.string(), z.string()).nullish() }) });

/**
 * Decides about the objects of a file, in order, as when they are created. A namespace of either file is what the pods
 * after it are judged by; the sum of a quota is not, because it needs the pods that there are.
 * @throws CommandError
 */
export async function admit(options: AdmitOptions): Promise<Admitted[]> {
  if (options.file === undefined)
    throw new CommandError('cli/usage', 'say what to judge: -f FILE, or -f - for standard input');
  const namespaces = new Map<string, Labels>();
  const admission = createAdmission({
    keys: readKeys(options['label-key'] || defaultLabelKey),
    installation: { default: {}, max: {} },
    labelsOf: async (name) => namespaces.get(name),
    quota: undefined,
  });
  const given = options['namespace-file'];
  const before = given === undefined ? [] : await readManifests(given);
  const answers: Admitted[] = [];
  for (const [object, isAsked] of [
    ...before.map((object) => [object, false] as const),
    ...(await readManifests(options.file)).map((object) => [object, true] as const),
  ]) {
    const answer = await admitObject(object, admission);
    if (object.kind === 'Namespace' && answer.allowed) namespaces.set(object.metadata.name ?? '', labelsOf(object));
    // A namespace that would be refused is said also where only pods were asked about: without it their answers mean
    // little.
    if (isAsked || !answer.allowed) answers.push(answer);
  }
  return answers;
}

function readKeys(base: string): LabelKeys {
  try {
    return labelKeys(base);
  } catch (error) {
    if (error instanceof KeyError) throw new CommandError('cli/usage', `--label-key: ${error.message}`);
    throw error;
  }
}

/** Writes answers for people: what is stored as YAML for standard output, and what is said for standard error. */
export function formatAdmitted(answers: readonly Admitted[]): { stored: string; said: string[] } {
  const said = answers.flatMap(({ object, allowed, status, message, warnings }) => [
    ...warnings.map((warning) => `Warning: ${object}: ${warning}`),
    ...(allowed ? [] : [`Refused (${status}): ${object}: ${message}`]),
  ]);
  return { stored: answers.flatMap(({ result }) => (result === null ? [] : [stringify(result)])).join('---\n'), said };
}

async function admitObject(object: ManifestObject, admission: Admission): Promise<Admitted> {
  const { kind, apiVersion, metadata } = object;
  const type = `${apiVersion}/${kind}`;
  const resource = resources[type];
  const namespace = type === 'v1/Namespace' ? '' : (metadata.namespace ?? 'default');
  const name = metadata.name ?? '';
  const at = [
    ...(namespace === '' ? [] : [namespace]),
    kind.toLowerCase(),
    metadata.name ?? `${metadata.generateName ?? ''}*`,
  ];
  const asked = { hasPolicy: true };
  const review = (reviewed: unknown) => ({
    uid: 'podrate-admit',
    resource: resource ?? '',
    operation: 'CREATE',
    namespace,
    name,
    dryRun: true,
    object: reviewed,
    oldObject: null,
  });
  if (resource === undefined) return answer(at.join('/'), object, []);
  if (resource !== 'pods') return answer(at.join('/'), object, [await admission.validate(review(object), asked)]);
  const mutated = await admission.mutate(review(object), asked);
  if (mutated.outcome === 'deny') return answer(at.join('/'), object, [mutated]);
  // An implementation of JSON Patch that is not ours, as the API server's is not.
  const operations = mutated.outcome === 'patch' ? structuredClone([...mutated.operations]) : [];
  const stored = jsonpatch.apply_patch(object, operations);
  return answer(at.join('/'), stored, [mutated, await admission.validate(review(stored), asked)]);
}

function answer(object: string, stored: unknown, decisions: readonly Decision[]): Admitted {
  const refusal = decisions.find((decision) => decision.outcome === 'deny');
  // An API server would not take it for such an object at all.
  if (refusal?.code === 'review/field') throw new CommandError('cli/usage', `${object}: ${refusal.message}`);
  const fault = refusal ?? decisions.flatMap((decision) => ('fault' in decision ? [decision.fault] : []))[0];
  const warnings = decisions.flatMap((decision) => ('warnings' in decision ? decision.warnings : []));
  return {
    object,
    allowed: refusal === undefined,
    code: fault?.code ?? null,
    status: refusal?.status ?? null,
    message: fault?.message ?? null,
    warnings: [...new Set(warnings)],
    result: refusal === undefined ? stored : null,
  };
}

function labelsOf(object: ManifestObject): Labels {
  return labelled.parse(object).metadata.labels ?? undefined;
}
