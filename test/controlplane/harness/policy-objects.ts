import { expect, vi } from 'vitest';
import type { Cluster } from '../../cluster/cluster.ts';

/** Labels or annotations. */
export type Strings = Record<string, string>;

/** A pod's spec that is valid and asks for nothing. */
export const spec = { containers: [{ name: 'web', image: 'web' }] };

/** A namespace with the labels of a policy, which are given without their prefix. */
export const namespace = (name: string, policy: Strings) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: {
    name,
    labels: Object.fromEntries(Object.entries(policy).map(([key, value]) => [`podrate.dev/${key}`, value])),
  },
});

/** A bare pod in the namespace `place`. */
export const pod = (place: string, name: string, labels: Strings = {}, annotations: Strings = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: place, name, labels, annotations },
  spec,
});

/** Several objects as one input of kubectl. */
export const list = (items: object[]) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });

/** The stamp of a limit in bytes per second. */
export const stamp = (egress: number, ingress = egress) => JSON.stringify({ egress, ingress });

/** What the tests of policies ask of a cluster. */
export interface PolicyCluster {
  /** kubectl apply; a refusal is no error here. */
  apply(...objects: object[]): ReturnType<Cluster['kubectl']>;
  /** kubectl; a refusal is no error here. */
  kubectl(...args: string[]): ReturnType<Cluster['kubectl']>;
  /** kubectl get, as an object. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever kind of object is asked for.
  get(...args: string[]): Promise<any>;
  stampOf(place: string, name: string): Promise<string | undefined>;
  /** Makes a namespace with a policy and waits until pods can be created in it. */
  makeNamespace(name: string, policy: Strings): Promise<void>;
  /** Waits until pods can be created in a namespace. */
  serviceAccount(place: string): Promise<void>;
}

/** @param cluster gives the cluster, which need not be there yet */
export function policyCluster(cluster: () => Cluster): PolicyCluster {
  const objects: PolicyCluster = {
    apply: (...items) => cluster().kubectl(['apply', '-f', '-'], { input: list(items), reject: false }),
    kubectl: (...args) => cluster().kubectl(args, { reject: false }),
    get: async (...args) => JSON.parse((await cluster().kubectl(['get', ...args, '-o', 'json'])).stdout),
    stampOf: async (place, name) =>
      (await objects.get('pod', name, '-n', place)).metadata.annotations?.['podrate.dev/limit'],
    async makeNamespace(name, policy) {
      expect(await objects.apply(namespace(name, policy))).toMatchObject({ exitCode: 0 });
      await objects.serviceAccount(name);
    },
    async serviceAccount(place) {
      const read = () => cluster().kubectl(['get', 'serviceaccount', 'default', '-n', place]);
      await vi.waitFor(read, { timeout: 60_000, interval: 100 });
    },
  };
  return objects;
}
