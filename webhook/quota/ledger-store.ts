/** The ledgers in the cluster: one object for each namespace with a quota, in podrate's own namespace. */
import type { KubeConfig, V1OwnerReference } from '@kubernetes/client-node';
import { callUnless } from '../../kube/api-failure.ts';
import { createObject, readObject, replaceObject } from '../../kube/objects.ts';
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

// Part of what API servers wait for the webhook, so that an admission does not fail because of one call.
const timeoutMs = 4_000;
const labels = { 'app.kubernetes.io/name': 'podrate', 'app.kubernetes.io/component': 'quota' };

/** Gives access to the ledgers, which are kept in the namespace `home`. */
export function ledgerStore(kubeConfig: KubeConfig, home: string): LedgerStore {
  const { group, version, plural } = ledgerResource;
  const place = `/apis/${group}/${version}/namespaces/${home}/${plural}`;
  const pathOf = (namespace: string) => `${place}/${encodeURIComponent(namespace)}`;
  const metadataOf = ({ metadata: { uid, resourceVersion, ownerReferences } }: LedgerObject): LedgerMetadata => ({
    ...{ uid, resourceVersion, ownerReferences },
  });
  const parse = (namespace: string, object: LedgerObject): StoredLedger => {
    return { ledger: readLedger(namespace, object), metadata: metadataOf(object) };
  };
  // With it, the ledger goes when its namespace does.
  const owner = async (name: string): Promise<V1OwnerReference[]> => {
    const path = `/api/v1/namespaces/${encodeURIComponent(name)}`;
    const { metadata } = (await readObject(kubeConfig, path, timeoutMs)) as LedgerObject;
    return [{ apiVersion: 'v1', kind: 'Namespace', name, uid: metadata.uid }];
  };

  return {
    async read(namespace) {
      const call = () => readObject(kubeConfig, pathOf(namespace), timeoutMs);
      const object = await callUnless([404], `read the quota ledger of namespace ${namespace}`, call);
      return object === undefined ? undefined : parse(namespace, object as LedgerObject);
    },
    async list() {
      const call = () => readObject(kubeConfig, place, timeoutMs);
      const { items } = (await callUnless([], 'list the quota ledgers', call)) as { items: LedgerObject[] };
      return new Map(items.map((object) => [object.metadata.name, parse(object.metadata.name, object)]));
    },
    async write(namespace, ledger, stored) {
      const write = async () => {
        const ownerReferences = stored === undefined ? await owner(namespace) : stored.metadata.ownerReferences;
        const metadata = { ...stored?.metadata, name: namespace, namespace: home, labels, ownerReferences };
        const object = { apiVersion: `${group}/${version}`, kind: 'BandwidthLedger', metadata, ...writeLedger(ledger) };
        if (stored === undefined) return createObject(kubeConfig, place, object, timeoutMs);
        return replaceObject(kubeConfig, pathOf(namespace), object, timeoutMs);
      };
      // 409: changed, or created, by somebody else, or by a first try of this one whose answer was lost.
      // 404: deleted since it was read.
      const passing = stored === undefined ? [409] : [404, 409];
      const object = await callUnless(passing, `write the quota ledger of namespace ${namespace}`, write);
      return object === undefined ? undefined : { ledger, metadata: metadataOf(object as LedgerObject) };
    },
  };
}
