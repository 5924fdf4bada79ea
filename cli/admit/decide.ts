/** What admission would answer about objects, without a cluster: the webhook's own decisions. */
import jsonpatch from 'jsonpatch';
import { z } from 'zod';
import type { LabelKeys } from '../../rate/keys.ts';
import type { Labels } from '../../rate/limit.ts';
import type { InstallationPolicy } from '../../rate/policy.ts';
import { type Admission, createAdmission } from '../../webhook/admission/admission.ts';
import type { Decision } from '../../webhook/admission/decision.ts';
import { mirrorAnnotations } from '../../webhook/admission/pod.ts';
import { CommandError } from '../errors.ts';
import type { ManifestObject } from './manifests.ts';
import { askedAbout, kindOf, type Templates } from './templates.ts';

/** The answer about one object. */
export interface Admitted {
  /** `kind/name`, with the namespace in front where there is one. */
  readonly object: string;
  /** Its group and kind, such as `apps/Deployment`. */
  readonly kind: string;
  /** Whether admission would be asked about it. */
  readonly judged: boolean;
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

/** How the cluster is set up. */
export interface Setup {
  readonly keys: LabelKeys;
  readonly installation: InstallationPolicy;
  /** Whether pods without a rate label are limited by their annotations of CNI plugins. */
  readonly obeysBandwidth: boolean;
  readonly templates: Templates;
}

/** Admission is never asked about these. */
const exemptNamespaces = ['kube-system', 'podrate-system'];
const strings = z.record(z.string(), z.string()).nullish();
const described = z.object({ metadata: z.object({ labels: strings, annotations: strings }) });

/**
 * Decides about objects, in order, as when they are created. Of the namespaces among them and among the others their
 * pods get the policies, wherever they stand; the sum of a quota is not kept, because it needs the pods that there are.
 * @param others namespaces that are not asked about; one that would be refused is answered all the same: without it the
 * answers about its pods mean little
 * @throws CommandError for an object that no API server would take
 */
export async function decide(
  objects: readonly ManifestObject[],
  others: readonly ManifestObject[],
  { templates, ...setup }: Setup,
): Promise<Admitted[]> {
  const namespaces = new Map<string, Labels>();
  const labelsOf = async (name: string) => namespaces.get(name);
  const admission = createAdmission({ ...setup, labelsOf, quota: undefined });
  const refused: Admitted[] = [];
  for (const object of [...others, ...objects].filter(isNamespace)) {
    const answer = await answerAbout(object, admission, templates);
    if (answer.allowed)
      namespaces.set(object.metadata.name ?? '', described.parse(object).metadata.labels ?? undefined);
    else if (others.includes(object)) refused.push(answer);
  }
  const answers: Admitted[] = [];
  for (const object of objects) answers.push(await answerAbout(object, admission, templates));
  return [...refused, ...answers];
}

function isNamespace({ apiVersion, kind }: ManifestObject): boolean {
  return apiVersion === 'v1' && kind === 'Namespace';
}

async function answerAbout(object: ManifestObject, admission: Admission, templates: Templates): Promise<Admitted> {
  const { kind, metadata } = object;
  const namespace = isNamespace(object) ? '' : (metadata.namespace ?? 'default');
  const name = metadata.name ?? `${metadata.generateName ?? ''}*`;
  const at = [...(namespace === '' ? [] : [namespace]), kind.toLowerCase(), name].join('/');
  const asked = askedAbout(object, templates);
  const about = { object: at, kind: kindOf(object) };
  if (asked === undefined || isLeftAlone(object, namespace)) {
    const nothing = { code: null, status: null, message: null, warnings: [] };
    return { ...about, judged: false, allowed: true, ...nothing, result: object };
  }
  const review = (reviewed: unknown) => ({
    uid: 'podrate-admit',
    resource: asked.resource,
    operation: 'CREATE',
    namespace,
    name: metadata.name ?? '',
    dryRun: true,
    object: reviewed,
    oldObject: null,
  });
  const inPolicy = { hasPolicy: true };
  if (asked.resource !== 'pods') {
    return { ...about, ...answer(at, object, [await admission.validate(review(asked.object), inPolicy)]) };
  }
  const mutated = await admission.mutate(review(object), inPolicy);
  if (mutated.outcome === 'deny') return { ...about, ...answer(at, object, [mutated]) };
  // An implementation of JSON Patch that is not ours, as the API server's is not.
  const operations = mutated.outcome === 'patch' ? structuredClone([...mutated.operations]) : [];
  const stored = jsonpatch.apply_patch(object, operations);
  return { ...about, ...answer(at, stored, [mutated, await admission.validate(review(stored), inPolicy)]) };
}

/** Whether an API server does not ask about the object: of a namespace that is exempt, or a static pod's mirror. */
function isLeftAlone(object: ManifestObject, namespace: string): boolean {
  const { annotations } = described.safeParse(object).data?.metadata ?? {};
  const isMirror = object.kind === 'Pod' && mirrorAnnotations.some((key) => Object.hasOwn(annotations ?? {}, key));
  return isMirror || exemptNamespaces.includes(namespace);
}

function answer(object: string, stored: unknown, decisions: readonly Decision[]) {
  const refusal = decisions.find((decision) => decision.outcome === 'deny');
  // An API server would not take it for such an object at all.
  if (refusal?.code === 'review/field') throw new CommandError('cli/usage', `${object}: ${refusal.message}`);
  const fault = refusal ?? decisions.flatMap((decision) => ('fault' in decision ? [decision.fault] : []))[0];
  const warnings = decisions.flatMap((decision) => ('warnings' in decision ? decision.warnings : []));
  return {
    judged: true,
    allowed: refusal === undefined,
    code: fault?.code ?? null,
    status: refusal?.status ?? null,
    message: fault?.message ?? null,
    warnings: [...new Set(warnings)],
    result: refusal === undefined ? stored : null,
  };
}
