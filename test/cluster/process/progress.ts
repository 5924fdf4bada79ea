/**
 * Told about every step of building and starting a cluster.
 * `step` is the step's name ("kubernetes", "node1"); `text` is a few words on what it does now; `state` is `running` until the
 * step's last event, which is `done` or `failed`. Steps run side by side.
 */
export type OnProgress = (step: string, text: string, state: 'running' | 'done' | 'failed') => void;

/** Tells more about the step that runs. */
export type Report = (text: string) => void;

/** Runs one named step and tells when it starts, how long it took, and if it failed. */
export async function runStep<T>(
  onProgress: OnProgress,
  step: string,
  text: string,
  work: (report: Report) => Promise<T>,
): Promise<T> {
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
  let latest = text;
  onProgress(step, text, 'running');
  try {
    const result = await work((next) => {
      latest = next;
      onProgress(step, next, 'running');
    });
    onProgress(step, `${latest}, ${seconds()}`, 'done');
    return result;
  } catch (error) {
    onProgress(step, `failed after ${seconds()}`, 'failed');
    throw error;
  }
}
