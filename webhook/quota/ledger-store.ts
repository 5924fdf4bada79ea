/** The ledgers in the cluster: one object in each namespace with a quota. */
import type { KubeConfig } from '@kubernetes/client-node';
import { z } from 'zod';
import { type ApiRequest, callApi } from '../../kube/call.ts';
import { listMetadata, type ObjectMeta } from '../../kube/list.ts';
import { directions } from '../../rate/limit.ts';
import { formatRate } from '../../rate/rate.ts';
import { type Ledger, QuotaError } from './ledger.ts';

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
const group = 'podrate.dev';
const version = 'v1alpha1';
const plural = 'bandwidthledgers';
/** The name of the ledger in each namespace. */
const ledgerName = 'podrate';
const labels = { 'app.kubernetes.io/name': 'podrate', 'app.kubernetes.io/component': 'quota' };

const digits = z.string().max(20).regex(/^\d+$/).transform(BigInt);
const whole = z.number().int().min(0);
const grant = z.object({
  name: z.string(),
  uid: z.string(),
  egress: whole.default(0),
  ingress: whole.default(0),
  from: digits.optional(),
  serial: whole,
});
const schema = z.object({
  metadata: z.object({ namespace: z.string(), uid: z.string(), resourceVersion: z.string() }),
  spec: z.object({ hard: z.object({ egress: whole.exactOptional(), ingress: whole.exactOptional() }) }),
  status: z.object({
    used: z.object({ egress: whole, ingress: whole }),
    settled: digits,
    serial: whole,
    grants: z.array(grant).default([]),
  }),
});

/**
 * Gives access to the ledgers of a cluster. Its methods throw ApiFailure where the API server does not comply, and
 * QuotaError for what is no ledger.
 */
export function ledgerStore(kubeConfig: KubeConfig) {
  const placeOf = (namespace: string) =>
    `/apis/${group}/${version}/namespaces/${encodeURIComponent(namespace)}/${plural}`;
  const call = (except: readonly number[], what: string, request: ApiRequest) =>
    callApi(kubeConfig, { ...request, what, timeoutMs, except });
  return {
    /** Reads a namespace's ledger; undefined if there is none. */
    async read(namespace: string): Promise<StoredLedger | undefined> {
      const path = `${placeOf(namespace)}/${ledgerName}`;
      const object = await call([404], `read the quota ledger of namespace ${namespace}`, { method: 'GET', path });
      return object === undefined ? undefined : readLedger(namespace, object);
    },
    /** Lists the resource versions of all ledgers, by namespace. */
    async list(): Promise<ReadonlyMap<string, string>> {
      const path = `/apis/${group}/${version}/${plural}`;
      const selection = { fieldSelector: `metadata.name=${ledgerName}` };
      const parse = ({ namespace = '', resourceVersion = '' }: ObjectMeta) => [namespace, resourceVersion] as const;
      return new Map((await listMetadata({ kubeConfig, path, selection, what: 'the quota ledgers' }, parse)).items);
    },
    /**
     * Creates the ledger, or replaces the version that was read.
     * @returns the stored one; undefined if another replica was first, or seems to have been because an answer was lost
     */
    async write(namespace: string, ledger: Ledger, stored: StoredLedger | undefined) {
      const { uid, resourceVersion } = stored ?? {};
      const metadata = { name: ledgerName, namespace, labels, uid, resourceVersion };
      const body = { apiVersion: `${group}/${version}`, kind: 'BandwidthLedger', metadata, ...writeLedger(ledger) };
      const place = placeOf(namespace);
      const [except, request]: [number[], ApiRequest] =
        stored === undefined
          ? [[409], { method: 'POST', path: place, body }]
          : [[404, 409], { method: 'PUT', path: `${place}/${ledgerName}`, body }];
      const object = await call(except, `write the quota ledger of namespace ${namespace}`, request);
      return object === undefined ? undefined : readLedger(namespace, object);
    },
  };
}

/** Reads a ledger object. @throws QuotaError for one that the webhook did not write */
export function readLedger(namespace: string, object: unknown): StoredLedger {
  const result = schema.safeParse(object);
  if (!result.success) {
    const [issue] = result.error.issues;
    const where = `${issue?.path.join('.')}: ${issue?.message}`;
    const remedy = `delete it and it is made anew: kubectl -n ${namespace} delete bandwidthledger ${ledgerName}`;
    throw new QuotaError(
      'quota/ledger',
      `the quota ledger of namespace ${namespace} cannot be read: ${where}; ${remedy}`,
    );
  }
  const { metadata, spec, status } = result.data;
  const { uid, resourceVersion } = metadata;
  return { ledger: { ...status, hard: spec.hard }, uid, resourceVersion };
}

/** Returns the fields of a ledger object, with a text per direction for `kubectl get`. */
export function writeLedger({ settled, serial, hard, used, grants }: Ledger): object {
  const shown = directions.map((way) => [
    way,
    `${text(used[way])}/${hard[way] === undefined ? 'none' : text(hard[way])}`,
  ]);
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

function text(sum: number): string {
  return sum === 0 ? '0' : formatRate(sum);
}
