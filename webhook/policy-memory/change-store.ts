/** The announced changes in the cluster: one ConfigMap in podrate's own namespace, which the replicas share. */
import type { KubeConfig } from '@kubernetes/client-node';
import { z } from 'zod';
import { callUnless } from '../../kube/api-failure.ts';
import { createObject, readObject, replaceObject } from '../../kube/objects.ts';
import { type Changes, noChanges } from './changes.ts';

/** The changes as they are stored, with what is needed to replace exactly this version of them. */
export interface StoredChanges {
  readonly changes: Changes;
  /** Tells this object from one that was made anew. */
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Access to the changes. Each method throws ApiFailure where the API server does not do as asked. */
export interface ChangeStore {
  /** Reads them, not older than the call; undefined if nobody has announced one yet. */
  read(): Promise<StoredChanges | undefined>;
  /** Creates them, or replaces what was read. @returns whether that was done: not where somebody else was first */
  write(changes: Changes, stored: StoredChanges | undefined): Promise<boolean>;
}

/** The name of the ConfigMap. */
const changesName = 'podrate-policy-changes';

const timeoutMs = 2_000;
const labels = { 'app.kubernetes.io/name': 'podrate', 'app.kubernetes.io/component': 'webhook' };
const schema = z.object({
  metadata: z.object({ uid: z.string(), resourceVersion: z.string() }),
  data: z.object({ serial: z.coerce.number().int().min(0), recent: z.string() }).optional(),
});

/** Gives access to the changes, which are kept in the namespace `home`. */
export function changeStore(kubeConfig: KubeConfig, home: string): ChangeStore {
  const place = `/api/v1/namespaces/${home}/configmaps`;
  return {
    read: () =>
      callUnless([404], 'read the changes of policies', async () =>
        parse(await readObject(kubeConfig, `${place}/${changesName}`, timeoutMs)),
      ),
    async write({ serial, recent }, stored) {
      const { uid, resourceVersion } = stored ?? {};
      const metadata = { name: changesName, namespace: home, labels, uid, resourceVersion };
      const data = { serial: String(serial), recent: recent.join(' ') };
      const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data };
      const call = () =>
        stored === undefined
          ? createObject(kubeConfig, place, object, timeoutMs)
          : replaceObject(kubeConfig, `${place}/${changesName}`, object, timeoutMs);
      // Changed, created or deleted by somebody else, or by a first try of this one whose answer was lost.
      return (await callUnless([404, 409], 'announce a change of a policy', call)) !== undefined;
    },
  };
}

function parse(object: unknown): StoredChanges {
  const result = schema.safeParse(object);
  if (!result.success) {
    throw new Error(`ConfigMap ${changesName} is not as podrate writes it: delete it, and it is made anew`);
  }
  const { metadata, data } = result.data;
  if (data === undefined) return { ...metadata, changes: noChanges };
  return {
    ...metadata,
    changes: { serial: data.serial, recent: data.recent.split(' ').filter((name) => name !== '') },
  };
}
