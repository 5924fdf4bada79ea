/** The agent's HTTP endpoints: alive, ready, metrics. */
import express, { type Express } from 'express';
import type { AgentState } from '../agent.ts';
import { contentType } from './metrics.ts';

/** What the endpoints tell from. */
export interface HealthOptions {
  readonly state: () => AgentState;
  /** Renders the metrics. */
  readonly metrics: () => string;
  readonly resyncMs: number;
  /** Milliseconds of a clock that never steps. */
  readonly monotonic: () => number;
}

/** Longer than any pass takes; a pass that runs longer hangs, and only a restart helps. In ms. */
const hangsMs = 5 * 60_000;

/** Builds the app; it does not listen. */
export function createHealthApp({ state, metrics, resyncMs, monotonic }: HealthOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');

  app.get('/healthz', (_, response) => {
    const { runningSince } = state();
    if (runningSince !== undefined && monotonic() - runningSince > hangsMs) {
      response.status(500).type('text').send('a pass has been running for more than five minutes\n');
    } else {
      response.type('text').send('ok\n');
    }
  });

  app.get('/readyz', (_, response) => {
    const reason = notReady(state(), resyncMs, monotonic());
    if (reason === undefined) response.type('text').send('ok\n');
    else response.status(503).type('text').send(`${reason}\n`);
  });

  app.get('/metrics', (_, response) => {
    response.set('Content-Type', contentType).send(metrics());
  });
  return app;
}

/** Why the agent is not ready; undefined if it is. */
function notReady({ synced, last }: AgentState, resyncMs: number, nowMs: number): string | undefined {
  if (!synced) return 'the pods of this node are not known yet';
  if (last === undefined) return 'no pass has gone through yet';
  // Three resyncs without a pass: the kernel may be out of step with the pods.
  if (nowMs - last.at > 3 * 1.25 * resyncMs) return 'the last pass is too long ago';
  return undefined;
}
