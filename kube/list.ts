import type { KubeConfig } from '@kubernetes/client-node';
import { apiFailure } from './api-failure.ts';
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

/** Which objects, by their labels and fields. */
export interface Selection {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** A collection of objects. */
export interface Collection {
  readonly kubeConfig: KubeConfig;
  /** As in `/api/v1/pods`. */
  readonly path: string;
  readonly selection: Selection;
  /** The name of the objects in an error. */
  readonly what: string;
}

interface Page {
  readonly items: readonly { readonly metadata?: ObjectMeta }[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

// Of one page of a large list on a busy API server.
const pageTimeoutMs = 10_000;
const pageSize = '500';
const accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

/**
 * Lists the metadata of objects, page by page.
 * @returns the resource version of the list
 * @throws ApiFailure, and what `onItem` throws
 */
export async function listMetadata(collection: Collection, onItem: (metadata: ObjectMeta) => void): Promise<string> {
  const { kubeConfig, path, selection, what } = collection;
  let version = '';
  let page = '';
  do {
    const query = { ...selection, limit: pageSize, ...(page && { continue: page }) };
    const call = { method: 'GET', path, query, accept } as const;
    const { items, metadata } = await callApi(kubeConfig, call, pageTimeoutMs).then(
      (answer) => answer as Page,
      (error) => {
        throw apiFailure(`list ${what}`, error);
      },
    );
    for (const item of items ?? []) onItem(item.metadata ?? {});
    version = metadata?.resourceVersion ?? '';
    page = metadata?.continue ?? '';
  } while (page !== '');
  return version;
}
