import { constants } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ServingPair } from '../tls/certificate.ts';

// API servers wait as long for a webhook: what has not arrived by then is answered with 408, within the interval.
const arrival = { headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: 5_000 } as const;
const timeouts = {
  ...arrival,
  // Go clients give up a handshake after that time.
  handshakeTimeout: 10_000,
  // API servers are Go clients, which keep an idle connection for 90 s. A server that closes first races with their
  // next request.
  keepAliveTimeout: 95_000,
} as const;

// API servers never resume a session (client-go sets no ClientSessionCache), so that each handshake would make tickets
// for nobody.
const protocol = { minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET } as const;

/** Makes the HTTPS server; it does not listen. */
export function createTlsServer(listener: RequestListener, { cert, key }: ServingPair): HttpsServer {
  return createHttpsServer({ cert, key, ...protocol, ...timeouts }, listener);
}

/** Takes a new pair into use: handshakes from now on get it, open connections live on. */
export function useCertificate(server: HttpsServer, { cert, key }: ServingPair): void {
  server.setSecureContext({ cert, key, ...protocol });
}

/** Makes the plain HTTP server for probes and metrics; it does not listen. */
export function createPlainServer(listener: RequestListener): HttpServer {
  return createHttpServer(arrival, listener);
}

/** Listens on a port of all addresses, 0 for a free one, and gives the port. */
export async function listen(server: HttpServer | HttpsServer, port: number): Promise<number> {
  server.listen(port);
  // Rejects with an error as well.
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Returns a count of the requests of a server that are under way, from now on. */
export function countRequests(server: HttpServer | HttpsServer): () => number {
  let underWay = 0;
  server.on('request', (_request, response) => {
    underWay += 1;
    response.once('close', () => {
      underWay -= 1;
    });
  });
  return () => underWay;
}

/** How a server is stopped. */
export interface DrainOptions {
  readonly requestsUnderWay: () => number;
  /** How long requests are still served, while the cluster takes note that the pod is not ready, in milliseconds. */
  readonly serveOnMs: number;
  /** How long requests under way may take after that, in milliseconds. */
  readonly finishMs: number;
}

/**
 * Stops a server without failing a request: API servers go on using open connections for a while after a pod stops
 * being ready (kubernetes/kubernetes#127335), so requests are served on first; the application tells clients to close.
 * Then nothing new is accepted, requests under way finish, and all connections are closed. Waiting for the connections
 * themselves would take until their time-outs: Go clients keep connections on which they never sent a request.
 */
export async function drain(server: HttpServer | HttpsServer, options: DrainOptions): Promise<void> {
  await delay(options.serveOnMs);
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const deadline = performance.now() + options.finishMs;
  while (options.requestsUnderWay() > 0 && performance.now() < deadline) await delay(10);
  // Again and again, because one whose handshake is under way is not among them yet.
  const closing = setInterval(() => server.closeAllConnections(), 10);
  await closed;
  clearInterval(closing);
}
