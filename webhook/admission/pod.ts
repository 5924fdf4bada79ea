import type { Labels } from '../../rate/limit.ts';
import { fieldsOf, optionalFields, optionalList, optionalStrings, optionalText } from './fields.ts';

/** The labels and annotations of an object. */
export interface Labelled {
  readonly labels: Labels;
  readonly annotations: Labels;
}

/** What decisions need of a pod. */
export interface Pod extends Labelled {
  /** The name; `prefix*` where the API server has yet to complete it. */
  readonly name: string;
  readonly uid: string;
  /** The resource version; undefined where it is no number. */
  readonly version: bigint | undefined;
  readonly isDeleted: boolean;
  /** Whether a controller, such as a ReplicaSet or a Job, owns it. */
  readonly isControlled: boolean;
  /** Whether somebody applies it declaratively, and would see a changed field as drift. */
  readonly isApplied: boolean;
  readonly hostNetwork: boolean;
  /** The name of its runtime class; undefined for the nodes' usual one. */
  readonly runtimeClass: string | undefined;
  readonly phase: string | undefined;
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** Reads a pod. @throws FieldError */
export function readPod(object: unknown): Pod {
  const { metadata, spec, status } = fieldsOf(object, 'object');
  const fields = fieldsOf(metadata, 'object.metadata');
  const labels = optionalStrings(fields.labels, 'object.metadata.labels');
  const annotations = optionalStrings(fields.annotations, 'object.metadata.annotations');
  const owners = optionalList(fields.ownerReferences, 'object.metadata.ownerReferences');
  const managers = optionalList(fields.managedFields, 'object.metadata.managedFields');
  const specFields = optionalFields(spec, 'object.spec');
  const generated = `${optionalText(fields.generateName, 'object.metadata.generateName') ?? ''}*`;
  return {
    name: optionalText(fields.name, 'object.metadata.name') || generated,
    uid: optionalText(fields.uid, 'object.metadata.uid') ?? '',
    version: versionOf(optionalText(fields.resourceVersion, 'object.metadata.resourceVersion')),
    labels,
    annotations,
    isDeleted: typeof fields.deletionTimestamp === 'string',
    isControlled: owners.some(
      (owner) => optionalFields(owner, 'object.metadata.ownerReferences[]').controller === true,
    ),
    isApplied:
      Object.hasOwn(annotations ?? {}, lastApplied) ||
      managers.some((entry) => optionalFields(entry, 'object.metadata.managedFields[]').operation === 'Apply'),
    hostNetwork: specFields.hostNetwork === true,
    runtimeClass: optionalText(specFields.runtimeClassName, 'object.spec.runtimeClassName'),
    phase: optionalText(optionalFields(status, 'object.status').phase, 'object.status.phase'),
  };
}

function versionOf(text = ''): bigint | undefined {
  return text.length <= 20 && /^\d+$/.test(text) ? BigInt(text) : undefined;
}

/**
 * The annotations of the mirror of a static pod, which a kubelet wrote to the API server. Such a pod's cgroup is named
 * after one of them, so whoever can write them could name another pod's cgroup.
 */
export const mirrorAnnotations = ['kubernetes.io/config.mirror', 'kubernetes.io/config.hash'] as const;

/** Reports whether a pod has the annotations of a static pod's mirror. */
export function isMirror({ annotations = {} }: Labelled): boolean {
  return mirrorAnnotations.some((key) => Object.hasOwn(annotations, key));
}

/** Reports whether a pod has finished or is being deleted. */
export function isEnding({ phase, isDeleted }: Pod): boolean {
  return isDeleted || phase === 'Succeeded' || phase === 'Failed';
}
