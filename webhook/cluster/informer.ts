import { apiFailure } from '../../kube/api-failure.ts';
import { type Collection, listMetadata, type ObjectMeta } from '../../kube/list.ts';
import { type ObjectEvent, watchFrom } from '../../kube/watch.ts';
import type { Clock } from './clock.ts';

/** What keeps the state of a collection. */
export interface InformerHandler<T> {
  /** Takes from an object's metadata what is kept of it. */
  parse(metadata: ObjectMeta): T;
  /** Takes a whole list. */
  replace(items: readonly T[], version: bigint): void;
  /** Takes an object that was added or changed. */
  put(item: T): void;
  /** Takes an object that was deleted or is no longer selected. */
  remove(item: T): void;
  /** Takes a bookmark: no older event will follow. */
  reach?(version: bigint): void;
}

/** What an informer is started with. */
export interface InformerOptions<T> extends Collection {
  readonly handler: InformerHandler<T>;
  readonly clock: Clock;
  /** Called with each failure; another attempt follows. */
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
}

// An API server ends a watch after this time, and its state is asked for anew only when it has forgotten the version.
const watchSeconds = 300;
// Something between here and the API server may end each watch at once.
const reopenMs = 100;
const retryMs = 1_000;
const accept = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';

/**
 * Lists the metadata of a collection, and watches it, until the signal is aborted. It lists again after a failure, and
 * where the API server has forgotten the version to go on from.
 */
export async function runInformer<T>(options: InformerOptions<T>): Promise<void> {
  const { handler, clock, onError, signal } = options;
  while (!signal.aborted) {
    try {
      const { items, version } = await listMetadata(options, handler.parse);
      handler.replace(items, BigInt(version));
      let from: string | undefined = version;
      while (!signal.aborted && from !== undefined) {
        from = await watch(options, from);
        await clock.sleep(reopenMs, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      onError(error);
      await clock.sleep(retryMs, signal);
    }
  }
}

/** @returns the resource version to go on from; undefined if the API server has forgotten it */
async function watch<T>(options: InformerOptions<T>, from: string): Promise<string | undefined> {
  const { kubeConfig, path, selection, what, handler, signal } = options;
  const onEvent = ({ type, object: { metadata = {} } }: ObjectEvent<{ readonly metadata?: ObjectMeta }>) => {
    if (type === 'DELETED') handler.remove(handler.parse(metadata));
    else if (type !== 'BOOKMARK') handler.put(handler.parse(metadata));
    else if (metadata.resourceVersion !== undefined) handler.reach?.(BigInt(metadata.resourceVersion));
  };
  const call = { kubeConfig, path, query: { ...selection }, timeoutSeconds: watchSeconds, accept, onEvent, signal };
  try {
    // Over another connection where one is dead.
    return await watchFrom({ ...call, outlivesSilence: true }, from);
  } catch (error) {
    throw apiFailure(`watch ${what}`, error);
  }
}
