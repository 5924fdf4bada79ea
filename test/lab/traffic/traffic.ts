import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Pod } from '../lab.ts';

/** What a sink has received when it printed the line. */
export interface SinkSample {
  atMs: number;
  /** Payload bytes of each connection, in order of arrival. */
  connections: number[];
  datagrams: number;
  datagramBytes: number;
}

/** A program that runs in a pod: its cgroup and its network namespace. */
export interface Running<Line> {
  pid: number;
  lines: Line[];
  /** Ends it at once, or with a signal that lets it say a last word. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Receives TCP and UDP on port 5001, and samples it every 100 ms. */
export const startSink = (pod: Pod): Promise<Running<SinkSample>> => start(pod, 'sink.ts', []);

/** Sends on `connections` TCP connections as fast as it can. Its lines tell of broken connections. */
export function startStreams(pod: Pod, host: string, connections: number): Promise<Running<{ broken?: number }>> {
  return start(pod, 'source.ts', ['tcp', host, String(connections)]);
}

/** Sends datagrams of `size` payload bytes at a fixed rate. */
export function startFlood(pod: Pod, host: string, size: number, perSecond: number): Promise<Running<never>> {
  return start(pod, 'source.ts', ['udp', host, String(size), String(perSecond)]);
}

/** Answers short connections in the pod. */
export const startServer = (pod: Pod): Promise<Running<never>> => start(pod, 'requests.ts', ['serve']);

/** How long one request took, from connect to the end. */
export interface RequestSample {
  ms: number;
  failed: boolean;
}

/** Has `clients` clients at a time ask a server, each request on a connection of its own. */
export function startRequests(
  pod: Pod,
  host: string,
  clients: number,
  bytes: { up: number; down: number },
): Promise<Running<RequestSample>> {
  return start(pod, 'requests.ts', [host, String(clients), String(bytes.up), String(bytes.down)]);
}

/** Payload bytes per second that a sink has received lately, TCP and UDP: the mean over its last `samples` samples. */
export function receivedRate({ lines }: Running<SinkSample>, samples: number): { tcp: number; udp: number } {
  const last = lines.at(-1);
  const first = lines.at(-1 - samples);
  if (!first || !last) throw new Error(`the sink has printed ${lines.length} samples, ${samples + 1} are needed`);
  const seconds = (last.atMs - first.atMs) / 1000;
  const streams = (sample: SinkSample) => sample.connections.reduce((sum, bytes) => sum + bytes, 0);
  return {
    tcp: (streams(last) - streams(first)) / seconds,
    udp: (last.datagramBytes - first.datagramBytes) / seconds,
  };
}

/** Starts `command` in the pod, with the process in the pod's cgroup before it opens any socket. */
export function spawnInPod(pod: Pod, command: string[]): ChildProcess {
  const enter = 'echo 0 > "$1/cgroup.procs" && net=$2 && shift 2 && exec nsenter --net="$net" "$@"';
  return spawn('sh', ['-c', enter, 'sh', pod.cgroup.path, pod.netnsPath, ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

function start<Line>(pod: Pod, script: string, args: string[]): Promise<Running<Line>> {
  return startProgram(pod, [process.execPath, fileURLToPath(new URL(script, import.meta.url)), ...args]);
}

/** Starts a program that prints JSON lines. Resolves when it has printed its "ready" line. */
export function startProgram<Line>(pod: Pod, command: string[]): Promise<Running<Line>> {
  const child = spawnInPod(pod, command);
  const lines: Line[] = [];
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = async (signal: NodeJS.Signals = 'SIGKILL') => {
    child.kill(signal);
    await ended;
  };
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`${command.join(' ')} ended with ${code} before it was ready`)));
    if (!child.stdout) return;
    createInterface(child.stdout).on('line', (text) => {
      const line = JSON.parse(text);
      if (line.ready) resolve({ pid: child.pid ?? 0, lines, stop });
      else lines.push(line);
    });
  });
}
