/** The agent's HTTP endpoints: alive, ready, metrics. */
import type { RequestListener } from 'node:http';
import type { AgentState } from '../agent.ts';

/** What the endpoints tell from. */
export interface HealthOptions {
  readonly state: () => AgentState;
  /** Renders the metrics. */
  readonly metrics: () => string;
  readonly resyncMs: number;
  /** Milliseconds of a clock that never steps. */
  readonly monotonic: () => number;
}

const plain = 'text/plain; charset=utf-8';
/** Prometheus' text format. */
const exposition = 'text/plain; version=0.0.4; charset=utf-8';

/** Builds the handler of the server's requests. */
export function createHandler({ state, metrics, resyncMs, monotonic }: HealthOptions): RequestListener {
  const answer = (path: string): [status: number, text: string, type?: string] => {
    switch (path) {
      case '/healthz':
        return [200, 'ok\n'];
      case '/readyz': {
        const reason = notReady(state(), resyncMs, monotonic());
        return reason === undefined ? [200, 'ok\n'] : [503, `${reason}\n`];
      }
      case '/metrics':
        return [200, metrics(), exposition];
      default:
        return [404, 'not found\n'];
    }
  };
  return ({ url = '', method }, response) => {
    let [status, text, type = plain]: ReturnType<typeof answer> = [405, 'only GET is answered\n'];
    try {
      if (method === 'GET' || method === 'HEAD') [status, text, type = plain] = answer(url.replace(/\?.*/s, ''));
    } catch (error) {
      [status, text] = [500, `${error instanceof Error ? error.message : error}\n`];
    }
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
    response.end(method === 'HEAD' ? '' : text);
  };
}

/** Why the agent is not ready; undefined if it is. */
function notReady({ synced, last }: AgentState, resyncMs: number, nowMs: number): string | undefined {
  if (!synced) return 'the pods of this node are not known yet';
  if (last === undefined) return 'no pass has gone through yet';
  // Three resyncs without a pass: the kernel may be out of step with the pods.
  if (nowMs - last.at > 3 * 1.25 * resyncMs) return 'the last pass is too long ago';
  return undefined;
}
