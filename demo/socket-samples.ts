/** One reading of TCP's own counters (tcp_info), summed over the sockets of interest. */
export interface SocketSample {
  /** When it was read, in seconds of the node's clock. */
  readonly seconds: number;
  /** IP bytes sent so far: payload with retransmissions, and the headers of every segment. */
  readonly sentBytes: number;
  /** IP bytes received so far, counted likewise. */
  readonly receivedBytes: number;
  /** Local and remote address and port of every socket seen, to tell whether a connection lived on. */
  readonly connections: readonly string[];
}

/** IPv4 header (20) and TCP header with timestamps (32), which every segment of an established connection carries here. */
const HEADER_BYTES = 52;

/**
 * Reads the output of a sampling loop: blocks of `ss -tinHO` lines, each ended by one line `@ <seconds>`. The counters come
 * from the kernel's TCP and not from podrate, so that the two can be compared.
 *
 * @param port Only sockets with this local or remote port count.
 */
export function parseSocketSamples(text: string, port: number): SocketSample[] {
  const samples: SocketSample[] = [];
  let sockets: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('@ ')) {
      samples.push(sampleOf(Number(line.slice(2)), sockets));
      sockets = [];
    } else if (line.startsWith('ESTAB') && endsWithPort(line, port)) {
      sockets.push(line);
    }
  }
  return samples;
}

/**
 * The bash loop whose output {@link parseSocketSamples} reads; runs inside the pod's network namespace. Apart from ss it
 * starts no program: on a slow node the sampling would otherwise take the time that the traffic needs. The time is noted
 * after ss has ended, because ss spends its time on starting and reads the counters last.
 */
export function samplingLoop(seconds: number, intervalSeconds: number): string {
  const tick = `read -r -t ${intervalSeconds} <> <(:) || :`;
  return `end=$((SECONDS + ${seconds})); while [ $SECONDS -lt $end ]; do ss -tinHO; echo "@ $EPOCHREALTIME"; ${tick}; done`;
}

/** The samples in which a connection was open: those before and after the traffic say nothing of its rate. */
export function whileFlowing(samples: readonly SocketSample[]): SocketSample[] {
  return samples.filter((sample) => sample.connections.length > 0);
}

function sampleOf(seconds: number, sockets: readonly string[]): SocketSample {
  return {
    seconds,
    sentBytes: sum(sockets, (line) => counter(line, 'bytes_sent') + HEADER_BYTES * counter(line, 'segs_out')),
    receivedBytes: sum(sockets, (line) => counter(line, 'bytes_received') + HEADER_BYTES * counter(line, 'segs_in')),
    connections: sockets.map((line) => addresses(line).join(' ')),
  };
}

function addresses(line: string): string[] {
  return line.split(/\s+/).slice(3, 5);
}

function endsWithPort(line: string, port: number): boolean {
  return addresses(line).some((address) => address.endsWith(`:${port}`));
}

function counter(line: string, name: string): number {
  return Number(new RegExp(`\\b${name}:(\\d+)`).exec(line)?.[1] ?? 0);
}

function sum(lines: readonly string[], value: (line: string) => number): number {
  return lines.reduce((total, line) => total + value(line), 0);
}
