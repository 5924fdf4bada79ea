/** The ledgers in the cluster: one object for each namespace with a quota, in podrate's own namespace. */
import {
  ApiException,
  CoreV1Api,
  CustomObjectsApi,
  type KubeConfig,
  type V1OwnerReference,
} from '@kubernetes/client-node';
import { apiFailure } from '../../kube/api-failure.ts';
import { requestOptions } from '../../kube/request-options.ts';
import { withSecondTry } from '../../kube/second-try.ts';
import type { Ledger } from './ledger.ts';
import { ledgerResource, readLedger, writeLedger } from './ledger-object.ts';

/** A ledger as it is stored, with what is needed to replace exactly this version of it. */
export interface StoredLedger {
  readonly ledger: Ledger;
  readonly metadata: LedgerMetadata;
}

/** What is kept of an object's metadata. */
export interface LedgerMetadata {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly ownerReferences?: readonly V1OwnerReference[] | undefined;
}

/** Access to the ledgers. Every method throws ApiFailure where the API server does not do as asked, QuotaError for what is no ledger. */
export interface LedgerStore {
  /** Reads a namespace's ledger; undefined if there is none. */
  read(namespace: string): Promise<StoredLedger | undefined>;
  /** Reads all ledgers, by namespace. */
  list(): Promise<ReadonlyMap<string, StoredLedger>>;
  /**
   * Creates the ledger, or replaces the version that was read.
   * @returns what is stored now; undefined if somebody else was first, or seems to have been because an answer was lost
   */
  write(namespace: string, ledger: Ledger, stored: StoredLedger | undefined): Promise<StoredLedger | undefined>;
}

interface LedgerObject {
  readonly metadata: LedgerMetadata & { readonly name: string };
}

// API servers wait 5 s for the webhook, and an admission may have to wait for a call of the one before that gets no answer either.
const timeoutMs = 2_000;
const labels = { 'app.kubernetes.io/name': 'podrate', 'app.kubernetes.io/component': 'quota' };

/** Gives access to the ledgers, which are kept in the namespace `home`. */
export function ledgerStore(kubeConfig: KubeConfig, home: string): LedgerStore {
  const api = kubeConfig.makeApiClient(CustomObjectsApi);
  const core = kubeConfig.makeApiClient(CoreV1Api);
  const place = { ...ledgerResource, namespace: home };
  const parse = (namespace: string, object: LedgerObject): StoredLedger => {
    const { uid, resourceVersion, ownerReferences } = object.metadata;
    return { ledger: readLedger(namespace, object), metadata: { uid, resourceVersion, ownerReferences } };
  };
  // With it, the ledger goes when its namespace does.
  const owner = async (name: string, signal: AbortSignal): Promise<V1OwnerReference[]> => {
    const { metadata } = await core.readNamespace({ name }, requestOptions(signal));
    return [{ apiVersion: 'v1', kind: 'Namespace', name, uid: metadata?.uid ?? '' }];
  };

  return {
    async read(namespace) {
      const call = (signal: AbortSignal) =>
        api.getNamespacedCustomObject({ ...place, name: namespace }, requestOptions(signal));
      const object = await unless([404], `read the quota ledger of namespace ${namespace}`, call);
      return object === undefined ? undefined : parse(namespace, object);
    },
    async list() {
      const call = (signal: AbortSignal) => api.listNamespacedCustomObject(place, requestOptions(signal));
      const { items }: { items: LedgerObject[] } = await unless([], 'list the quota ledgers', call);
      return new Map(items.map((object) => [object.metadata.name, parse(object.metadata.name, object)]));
    },
    async write(namespace, ledger, stored) {
      const write = async (signal: AbortSignal) => {
        const ownerReferences = stored === undefined ? await owner(namespace, signal) : stored.metadata.ownerReferences;
        const metadata = { ...stored?.metadata, name: namespace, namespace: home, labels, ownerReferences };
        const { group, version } = ledgerResource;
        const body = { apiVersion: `${group}/${version}`, kind: 'BandwidthLedger', metadata, ...writeLedger(ledger) };
        if (stored === undefined) return api.createNamespacedCustomObject({ ...place, body }, requestOptions(signal));
        const name = namespace;
        return api.replaceNamespacedCustomObject({ ...place, name, body }, requestOptions(signal));
      };
      // 409: changed, or created, by somebody else, or by a first try of this one whose answer was lost. 404: deleted since it was read.
      const passing = stored === undefined ? [409] : [404, 409];
      const object = await unless(passing, `write the quota ledger of namespace ${namespace}`, write);
      if (object === undefined) return undefined;
      const { uid, resourceVersion, ownerReferences } = object.metadata;
      return { ledger, metadata: { uid, resourceVersion, ownerReferences } };
    },
  };
}

async function unless(
  codes: readonly number[],
  what: string,
  // biome-ignore lint/suspicious/noExplicitAny: the client types custom objects so
  send: (signal: AbortSignal) => Promise<any>,
  // biome-ignore lint/suspicious/noExplicitAny: as above
): Promise<any> {
  try {
    return await withSecondTry(timeoutMs, send);
  } catch (error) {
    if (error instanceof ApiException && codes.includes(error.code)) return undefined;
    throw apiFailure(what, error);
  }
}
