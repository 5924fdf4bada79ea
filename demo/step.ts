import { Listr } from 'listr2';

/** Replaces the line below the step's title. */
export type Say = (text: string) => void;

/** Runs one step of the demo under a title with its seconds, and returns what it found. */
export async function step<T>(title: string, work: (say: Say) => Promise<T>): Promise<T> {
  const results: T[] = [];
  const started = performance.now();
  const list = new Listr([
    {
      title,
      task: async (_, task) => {
        results.push(
          await work((text) => {
            task.output = text;
          }),
        );
        task.title = `${title} (${((performance.now() - started) / 1000).toFixed(1)} s)`;
      },
    },
  ]);
  await list.run();
  return results[0] as T;
}
