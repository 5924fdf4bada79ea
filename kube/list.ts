import type { KubeConfig } from '@kubernetes/client-node';
import { callApi } from './call.ts';

/** The metadata of an object, as JSON has it. */
export interface ObjectMeta {
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly managedFields?: readonly { readonly time?: string; readonly fieldsV1?: object }[];
}

/** A collection of objects. */
export interface Collection {
  readonly kubeConfig: KubeConfig;
  /** As in `/api/v1/pods`. */
  readonly path: string;
  readonly selection: { readonly labelSelector?: string; readonly fieldSelector?: string };
  /** The name of the objects in an error. */
  readonly what: string;
}

interface Page {
  readonly items?: readonly { readonly metadata?: ObjectMeta }[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

// Of one page of a large list on a busy API server.
const pageTimeoutMs = 10_000;
const pageSize = '500';
const accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

/**
 * Lists the metadata of objects, page by page.
 * @param parse takes from each object's metadata what is kept of it
 * @returns them as they were at a resource version
 * @throws ApiFailure, and what `parse` throws
 */
export async function listMetadata<T>(
  { kubeConfig, path, selection, what }: Collection,
  parse: (metadata: ObjectMeta) => T,
): Promise<{ readonly items: readonly T[]; readonly version: string }> {
  const parsed: T[] = [];
  let version = '';
  let page = '';
  do {
    const query = { ...selection, limit: pageSize, continue: page || undefined };
    const call = { method: 'GET', path, query, accept, what: `list ${what}`, timeoutMs: pageTimeoutMs } as const;
    const { items, metadata } = (await callApi<Page>(kubeConfig, call)) ?? {};
    for (const item of items ?? []) parsed.push(parse(item.metadata ?? {}));
    version = metadata?.resourceVersion ?? '';
    page = metadata?.continue ?? '';
  } while (page !== '');
  return { items: parsed, version };
}
