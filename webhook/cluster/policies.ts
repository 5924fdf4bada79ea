/** The labels of the namespaces that have a policy. */
import type { KubeConfig } from '@kubernetes/client-node';
import { Counter, type Registry } from 'prom-client';
import { callApi } from '../../kube/call.ts';
import type { ObjectMeta } from '../../kube/list.ts';
import type { Labels } from '../../rate/limit.ts';
import { modeLabel, policyPrefix } from '../../rate/policy.ts';
import type { Clock } from './clock.ts';
import { type InformerHandler, runInformer } from './informer.ts';

/** A namespace with a policy. */
export interface PolicyNamespace {
  readonly labels: NonNullable<Labels>;
  /** From when on its pods met the policy as it is, in ms since 1970; undefined if that is not known. */
  readonly sinceMs: number | undefined;
}

/** The policies of a cluster, milliseconds late. */
export type Policies = ReturnType<typeof watchPolicies>;

/** What the policies are watched with. */
export interface PoliciesOptions {
  readonly kubeConfig: KubeConfig;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
}

// Part of what API servers wait for an admission.
const readTimeoutMs = 2_000;

/** Starts to watch the namespaces that have the label `podrate.dev/mode`. They can be asked for at once. */
export function watchPolicies({ kubeConfig, registry, clock, onError, signal }: PoliciesOptions) {
  let known = new Map<string, PolicyNamespace>();
  const reads = new Counter({
    name: 'podrate_namespace_reads_total',
    help: 'Namespaces that an admission had to read, because the watch of policies did not know them yet.',
    registers: [registry],
  });
  const ready = Promise.withResolvers<void>();
  const quota = Promise.withResolvers<void>();
  const learn = (name: string, namespace: PolicyNamespace) => {
    known.set(name, namespace);
    if (hasQuota(namespace.labels)) quota.resolve();
  };
  const handler: InformerHandler<readonly [name: string, PolicyNamespace]> = {
    parse: (metadata) => [metadata.name ?? '', policyNamespace(metadata)],
    replace(all) {
      known = new Map();
      for (const [name, namespace] of all) learn(name, namespace);
      ready.resolve();
    },
    put: ([name, namespace]) => learn(name, namespace),
    remove: ([name]) => known.delete(name),
  };
  const what = 'the namespaces with a policy';
  const selection = { labelSelector: modeLabel };
  const path = '/api/v1/namespaces';
  void runInformer({ kubeConfig, path, selection, what, handler, clock, onError, signal });
  return {
    /**
     * Returns the labels of a namespace.
     * @param hasPolicy whether the API server takes it for one with a policy: it is read where the informer does not
     * know it
     * @throws ApiFailure
     */
    async labelsOf(namespace: string, hasPolicy: boolean): Promise<Labels> {
      const watched = known.get(namespace);
      if (watched !== undefined || !hasPolicy) return watched?.labels;
      reads.inc();
      const found = await callApi<{ metadata: ObjectMeta }>(kubeConfig, {
        method: 'GET',
        path: `${path}/${encodeURIComponent(namespace)}`,
        what: `read namespace ${namespace}`,
        timeoutMs: readTimeoutMs,
        except: [404],
      });
      return found?.metadata.labels;
    },
    /** Resolves once a namespace has a quota. */
    firstQuota: quota.promise,
    /** Resolves once all of them are known. */
    ready: ready.promise,
    /** Returns the namespaces with a policy, by name. */
    all: (): ReadonlyMap<string, PolicyNamespace> => known,
  };
}

function hasQuota(labels: NonNullable<Labels>): boolean {
  return ['', '-egress', '-ingress'].some((suffix) => Object.hasOwn(labels, `${policyPrefix}quota${suffix}`));
}

/** Takes a namespace's policy from its metadata. */
export function policyNamespace({ labels = {}, managedFields = [] }: ObjectMeta): PolicyNamespace {
  const writtenMs = managedFields.filter(isOfPolicy).map(({ time }) => Date.parse(time ?? ''));
  const lastMs = writtenMs.length === 0 ? Number.NaN : Math.max(...writtenMs);
  return { labels, sinceMs: Number.isNaN(lastMs) ? undefined : lastMs };
}

// The API server records when each manager last changed any of its fields, which is not before it wrote a label of the
// policy.
function isOfPolicy({ fieldsV1 }: { readonly fieldsV1?: object }): boolean {
  const fields: { 'f:metadata'?: { 'f:labels'?: object } } = fieldsV1 ?? {};
  return Object.keys(fields['f:metadata']?.['f:labels'] ?? {}).some((key) => key.startsWith(`f:${policyPrefix}`));
}
