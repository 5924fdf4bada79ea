/**
 * The load generator, in a process of its own: reads a LoadJob from standard input and prints a LoadOutcome. Connections are
 * opened before the clock starts.
 */
import { Agent, request } from 'node:https';
import process from 'node:process';
import { json } from 'node:stream/consumers';
import type { LoadJob, LoadOutcome } from './load-job.ts';

// More than an API server waits for anything here.
const timeoutMs = 60_000;

const job = (await json(process.stdin)) as LoadJob;
const { hostname, port } = new URL(job.origin);
const agents = Array.from({ length: job.clients }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
await Promise.all(agents.map((agent) => send(agent, 'GET', '/')));

const latencies: number[] = [];
const failures: Record<string, number> = {};
let next = 0;
const start = performance.now();
await Promise.all(agents.map(client));
const outcome: LoadOutcome = { seconds: (performance.now() - start) / 1000, latencies, failures };
for (const agent of agents) agent.destroy();
process.stdout.write(JSON.stringify(outcome));

async function client(agent: Agent): Promise<void> {
  while (next < job.requests) {
    const body = job.body.replaceAll('{n}', String(job.first + next).padStart(12, '0'));
    next += 1;
    const asked = performance.now();
    const reason = await send(agent, 'POST', job.path, body).then(failureIn, (error: Error) => error.message);
    if (reason === undefined) latencies.push(performance.now() - asked);
    else failures[reason] = (failures[reason] ?? 0) + 1;
  }
}

function failureIn({ status, text }: { status: number; text: string }): string | undefined {
  if (status < 200 || status > 299) return `${status} ${text.slice(0, 400).replaceAll(/\d{6,}/g, '…')}`;
  return text.includes(job.expect) ? undefined : `${status} without ${job.expect}`;
}

function send(agent: Agent, method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
  const { authority: ca, certificate: cert, key, serverName: servername = hostname } = job;
  const headers =
    body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const options = { hostname, port, path, method, agent, headers, ca, cert, key, timeout: timeoutMs };
    request({ ...options, ...(servername === hostname ? {} : { servername }) }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    })
      .once('timeout', function (this: { destroy(error: Error): void }) {
        this.destroy(new Error(`no answer within ${timeoutMs / 1000} s`));
      })
      .once('error', reject)
      .end(body);
  });
}
