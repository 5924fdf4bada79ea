import type { CommandContext } from '../process/command.ts';
import { type OnProgress, type Report, runStep } from '../process/progress.ts';

/** Runs a named step; what its commands write goes to a log of its own. */
export type Step = <T>(
  name: string,
  text: string,
  work: (context: CommandContext, report: Report) => Promise<T>,
) => Promise<T>;

/** The steps of one start, of which many run side by side. */
export interface Steps {
  step: Step;
  /** Waits until no step runs, however each ends. No step begins once the signal is aborted. */
  settled(): Promise<void>;
}

/** Prepares to run steps whose logs are `logOf('build-<step>')`. */
export function trackSteps(onProgress: OnProgress, logOf: (name: string) => string, signal: AbortSignal): Steps {
  const running = new Set<Promise<unknown>>();
  return {
    async step(name, text, work) {
      signal.throwIfAborted();
      const context = { step: name, log: logOf(`build-${name.replaceAll(' ', '-')}`), signal };
      const promise = runStep(onProgress, name, text, (report) => work(context, report));
      running.add(promise);
      try {
        return await promise;
      } finally {
        running.delete(promise);
      }
    },
    async settled() {
      while (running.size > 0) await Promise.allSettled(running);
    },
  };
}
