/** An item of a batch. */
export interface Entry<Item> {
  readonly item: Item;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

interface Waiting<Item, Answer> extends Entry<Item> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs work in batches, one at a time per key: whatever comes while a batch runs is in the next one.
 * @param work gives one answer for each entry, in order; undefined where nobody waits for one any more
 * @returns a function that adds an item to the next batch of a key. It resolves with the item's answer, and rejects
 * with what the batch throws, or with the signal's reason
 */
export function createBatches<Item, Answer>(
  work: (key: string, entries: readonly Entry<Item>[]) => Promise<readonly (Answer | undefined)[]>,
) {
  const queues = new Map<string, Waiting<Item, Answer>[]>();

  const run = async (key: string, queue: Waiting<Item, Answer>[]) => {
    while (queue.length > 0) {
      const all = queue.splice(0);
      const batch = all.filter(({ signal }) => !signal.aborted);
      for (const { signal, reject } of all) if (signal.aborted) reject(signal.reason);
      if (batch.length === 0) continue;
      try {
        const answers = await work(key, batch);
        for (const [index, { signal, resolve, reject }] of batch.entries()) {
          const answer = answers[index];
          if (answer === undefined) reject(signal.reason);
          else resolve(answer);
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    queues.delete(key);
  };

  return (key: string, item: Item, signal: AbortSignal): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const entry = { item, signal, resolve, reject };
      const queue = queues.get(key);
      if (queue !== undefined) {
        queue.push(entry);
        return;
      }
      const fresh = [entry];
      queues.set(key, fresh);
      void run(key, fresh);
    });
}
