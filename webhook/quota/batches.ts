/** An item of a batch. */
export interface Entry<Item> {
  readonly item: Item;
  /** Aborted when nobody waits for the answer any more; undefined if nothing says so. */
  readonly signal: AbortSignal | undefined;
}

/** Reports whether the answer is still waited for. @param isPatient asked where nothing else says so */
export function isAwaited({ signal }: Entry<unknown>, isPatient: () => boolean): boolean {
  return signal === undefined ? isPatient() : !signal.aborted;
}

interface Queue<Item, Answer> {
  waiting: (Entry<Item> & {
    readonly resolve: (answer: Answer) => void;
    readonly reject: (error: unknown) => void;
  })[];
  kicks: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[];
}

/**
 * Runs work in batches, one at a time per key: whatever comes while a batch runs is in the next one.
 * @param work gives one answer for each entry, in order; undefined where nobody waits for one any more
 */
export function createBatches<Item, Answer>(
  work: (key: string, entries: readonly Entry<Item>[]) => Promise<readonly (Answer | undefined)[]>,
) {
  const queues = new Map<string, Queue<Item, Answer>>();

  const run = async (key: string, queue: Queue<Item, Answer>) => {
    while (queue.waiting.length > 0 || queue.kicks.length > 0) {
      const { kicks } = queue;
      const waiting = queue.waiting.filter(({ signal }) => signal?.aborted !== true);
      for (const { signal, reject } of queue.waiting) if (signal?.aborted) reject(signal.reason);
      queue.waiting = [];
      queue.kicks = [];
      if (waiting.length === 0 && kicks.length === 0) continue;
      try {
        const answers = await work(key, waiting);
        for (const [index, { signal, resolve, reject }] of waiting.entries()) {
          const answer = answers[index];
          if (answer !== undefined) resolve(answer);
          else reject(signal?.aborted ? signal.reason : new Error('a batch gave no answer for an item'));
        }
        for (const { resolve } of kicks) resolve();
      } catch (error) {
        for (const { reject } of [...waiting, ...kicks]) reject(error);
      }
    }
    queues.delete(key);
  };
  const enter = (key: string, put: (queue: Queue<Item, Answer>) => void) => {
    const queue = queues.get(key);
    if (queue !== undefined) {
      put(queue);
      return;
    }
    const fresh: Queue<Item, Answer> = { waiting: [], kicks: [] };
    queues.set(key, fresh);
    put(fresh);
    void run(key, fresh);
  };

  return {
    /**
     * Adds an item to the next batch of a key.
     * @param signal aborted when nobody waits for the answer any more: an item whose batch has not begun is then in
     * none
     * @returns its answer
     * @throws what the batch throws, or the signal's reason
     */
    add: (key: string, item: Item, signal?: AbortSignal): Promise<Answer> =>
      new Promise((resolve, reject) => enter(key, ({ waiting }) => waiting.push({ item, signal, resolve, reject }))),
    /** Asks for a batch of a key, even one without items. @throws what the batch throws */
    kick: (key: string): Promise<void> =>
      new Promise((resolve, reject) => enter(key, ({ kicks }) => kicks.push({ resolve, reject }))),
  };
}
