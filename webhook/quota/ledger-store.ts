/** The ledgers in the cluster: one object in each namespace with a quota. */
import type { KubeConfig } from '@kubernetes/client-node';
import { type ApiRequest, callApi } from '../../kube/call.ts';
import { listMetadata, type ObjectMeta } from '../../kube/list.ts';
import { directions } from '../../rate/limit.ts';
import { formatRate } from '../../rate/rate.ts';
import type { Grant, Ledger } from './ledger.ts';

/** A ledger as it is stored, with what is needed to replace exactly this version of it. */
export interface StoredLedger {
  readonly ledger: Ledger;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Access to the ledgers. */
export type LedgerStore = ReturnType<typeof ledgerStore>;

// Part of what API servers wait for the webhook, so that an admission does not fail because of one call.
const timeoutMs = 4_000;
const apiVersion = 'podrate.dev/v1alpha1';
/** The name of the ledger in each namespace. */
const ledgerName = 'podrate';
const labels = { 'app.kubernetes.io/name': 'podrate', 'app.kubernetes.io/component': 'quota' };

/** A ledger object. Its CustomResourceDefinition has the API server refuse any other. */
interface LedgerObject {
  readonly metadata: { readonly uid: string; readonly resourceVersion: string };
  readonly spec: Pick<Ledger, 'hard'>;
  readonly status: Pick<Ledger, 'used' | 'serial'> & {
    readonly settled: string;
    readonly grants?: readonly (Omit<Grant, 'from'> & { readonly from?: string })[];
  };
}

/** Gives access to the ledgers of a cluster. Its methods throw ApiFailure. */
export function ledgerStore(kubeConfig: KubeConfig) {
  const pathOf = (namespace: string) =>
    `/apis/${apiVersion}/namespaces/${encodeURIComponent(namespace)}/bandwidthledgers`;
  const call = async (verb: string, namespace: string, request: ApiRequest, except: readonly number[]) => {
    const what = `${verb} the quota ledger of namespace ${namespace}`;
    const object = await callApi<LedgerObject>(kubeConfig, { ...request, what, timeoutMs, except });
    return object && readLedger(object);
  };
  return {
    /** Reads a namespace's ledger; undefined if there is none. */
    read: (namespace: string): Promise<StoredLedger | undefined> =>
      call('read', namespace, { method: 'GET', path: `${pathOf(namespace)}/${ledgerName}` }, [404]),
    /** Lists the resource versions of all ledgers, by namespace. */
    async list(): Promise<ReadonlyMap<string, string>> {
      const path = `/apis/${apiVersion}/bandwidthledgers`;
      const selection = { fieldSelector: `metadata.name=${ledgerName}` };
      const parse = ({ namespace = '', resourceVersion = '' }: ObjectMeta) => [namespace, resourceVersion] as const;
      return new Map((await listMetadata({ kubeConfig, path, selection, what: 'the quota ledgers' }, parse)).items);
    },
    /**
     * Creates the ledger, or replaces the version that was read.
     * @returns the stored one; undefined if another replica was first, or seems to have been because an answer was lost
     */
    write(namespace: string, ledger: Ledger, stored: StoredLedger | undefined): Promise<StoredLedger | undefined> {
      const { uid, resourceVersion } = stored ?? {};
      const metadata = { name: ledgerName, namespace, labels, uid, resourceVersion };
      const body = { apiVersion, kind: 'BandwidthLedger', metadata, ...writeLedger(ledger) };
      const path = pathOf(namespace);
      return stored === undefined
        ? call('create', namespace, { method: 'POST', path, body }, [409])
        : call('write', namespace, { method: 'PUT', path: `${path}/${ledgerName}`, body }, [404, 409]);
    },
  };
}

/** Reads a ledger object. */
export function readLedger({ metadata, spec, status }: LedgerObject): StoredLedger {
  const { used, serial, settled, grants = [] } = status;
  const { uid, resourceVersion } = metadata;
  const read = grants.map((grant) => ({ ...grant, from: grant.from === undefined ? undefined : BigInt(grant.from) }));
  return { ledger: { ...spec, used, serial, settled: BigInt(settled), grants: read }, uid, resourceVersion };
}

/** Returns the fields of a ledger object, with a text per direction for `kubectl get`. */
export function writeLedger({ settled, serial, hard, used, grants }: Ledger): object {
  const shown = directions.map((way) => [way, `${text(used[way])}/${text(hard[way])}`]);
  return {
    spec: { hard },
    status: {
      shown: Object.fromEntries(shown),
      used,
      serial,
      settled: String(settled),
      grants: grants.map((grant) => ({ ...grant, from: grant.from?.toString() })),
    },
  };
}

function text(sum: number | undefined): string {
  if (sum === undefined) return 'none';
  return sum === 0 ? '0' : formatRate(sum);
}
