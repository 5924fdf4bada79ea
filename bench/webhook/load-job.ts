/** What load.ts is told on its standard input, as JSON. */
export interface LoadJob {
  /** `https://host:port`. */
  readonly origin: string;
  readonly path: string;
  /** With `{n}` where a number goes that no other request has. */
  readonly body: string;
  /** What an answer must have in it, or else it counts as failed: an API server may admit a pod without its webhook. */
  readonly expect: string;
  /** The first `{n}`. */
  readonly first: number;
  readonly requests: number;
  /** Each has a connection of its own and one request under way. */
  readonly clients: number;
  /** PEM. Without a client's pair the requests are anonymous. */
  readonly authority: string;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  /** The name in the server's certificate, where it is not the host of `origin`. */
  readonly serverName?: string | undefined;
}

/** What it prints at its end, as JSON. */
export interface LoadOutcome {
  /** From the first request to the last answer. */
  readonly seconds: number;
  /** Of each request that was answered as expected, ms. */
  readonly latencies: readonly number[];
  /** Why others failed, and how many each time. */
  readonly failures: Readonly<Record<string, number>>;
}
