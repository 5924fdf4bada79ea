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
 * Reads the output of `tcp-counters` (test/cluster/native): blocks of one line a connection, each ended by a line `@ <seconds>`. The
 * counters come from the kernel's TCP and not from podrate, so that the two can be compared.
 */
export function parseSocketSamples(text: string): SocketSample[] {
  const samples: SocketSample[] = [];
  let sockets: string[][] = [];
  for (const line of text.split('\n')) {
    const fields = line.trim().split(' ');
    if (fields[0] === '@') {
      samples.push(sampleOf(Number(fields[1]), sockets));
      sockets = [];
    } else {
      sockets.push(fields);
    }
  }
  return samples;
}

/** The samples in which a connection was open: those before and after the traffic say nothing of its rate. */
export function whileFlowing(samples: readonly SocketSample[]): SocketSample[] {
  return samples.filter((sample) => sample.connections.length > 0);
}

function sampleOf(seconds: number, sockets: readonly string[][]): SocketSample {
  let sentBytes = 0;
  let receivedBytes = 0;
  for (const [, , sent, segmentsOut, received, segmentsIn] of sockets) {
    sentBytes += Number(sent) + HEADER_BYTES * Number(segmentsOut);
    receivedBytes += Number(received) + HEADER_BYTES * Number(segmentsIn);
  }
  return { seconds, sentBytes, receivedBytes, connections: sockets.map(([local, remote]) => `${local} ${remote}`) };
}
