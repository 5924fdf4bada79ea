/** Where the pods of an object are described. */
import { CommandError } from '../errors.ts';
import type { ManifestObject } from './manifests.ts';

/** The kinds about which admission is asked, with the resource that it is asked by. */
const known: Readonly<Record<string, string>> = {
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

/** What admission is asked about an object. */
export interface Asked {
  /** As in `pods`. */
  readonly resource: string;
  /** The object; of a kind that only the user knows, its template at the place where a Deployment has it. */
  readonly object: unknown;
}

/** The places of pod templates, by group and kind such as `argoproj.io/Rollout`. */
export type Templates = ReadonlyMap<string, readonly string[]>;

/**
 * Reads where kinds have their pod template.
 * @param texts as in `argoproj.io/Rollout=spec.template`, or `Widget=…` for a kind of the core group
 * @throws CommandError
 */
export function readTemplates(texts: readonly string[]): Templates {
  return new Map(
    texts.map((text) => {
      const [, kind, path] = /^((?:[a-z0-9.-]+\/)?[A-Za-z]+)=([\w-]+(?:\.[\w-]+)*)$/.exec(text) ?? [];
      if (kind !== undefined && path !== undefined) return [kind, path.split('.')];
      const example = 'argoproj.io/Rollout=spec.template';
      throw new CommandError('cli/usage', `--template ${text}: write a group, a kind and a path, such as ${example}`);
    }),
  );
}

/** Returns what admission is asked about an object; undefined for one of a kind that it does not know. */
export function askedAbout(object: ManifestObject, templates: Templates): Asked | undefined {
  const { apiVersion, kind } = object;
  const resource = known[`${apiVersion}/${kind}`];
  if (resource !== undefined) return { resource, object };
  const path = templates.get(kindOf(object));
  if (path === undefined) return undefined;
  let template: unknown = object;
  for (const key of path) template = (template as Record<string, unknown> | null | undefined)?.[key];
  return { resource: 'deployments', object: { metadata: object.metadata, spec: { template } } };
}

/** Returns an object's group and kind, such as `argoproj.io/Rollout`; of the core group, the kind. */
export function kindOf({ apiVersion, kind }: ManifestObject): string {
  const slash = apiVersion.indexOf('/');
  return slash === -1 ? kind : `${apiVersion.slice(0, slash)}/${kind}`;
}
