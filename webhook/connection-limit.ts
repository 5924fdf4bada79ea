import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** How many connections a server has, in which time. */
export interface ConnectionLimit {
  /** How many connections are served at once. */
  readonly most: number;
  /** How long a connection may go without a request while another one waits for its place, in milliseconds. */
  readonly quietMs: number;
  /** A clock in milliseconds that never goes back. */
  readonly nowMs: () => number;
}

/** The connections of a server that are bounded. */
export interface LimitedConnections {
  /** How many are served and how many wait now. */
  counts(): { readonly served: number; readonly waiting: number };
  /** Ends all, those that wait among them. */
  cutOff(): void;
}

/**
 * Bounds the connections that a server serves at once; the others wait in their order, before their handshake. An API server keeps
 * 25 connections to a webhook and opens a new one for each request that finds them busy, so that a thousand creates at once come on
 * two thousand connections. Most of the memory of one is that of its TLS, outside of the heap.
 *
 * A connection without a request is closed only where others wait, the longest quiet first.
 * @param server that was made with `pauseOnConnect`, so that nothing is read from those that wait
 */
export function limitConnections(server: Server, { most, quietMs, nowMs }: ConnectionLimit): LimitedConnections {
  const served = new Set<Socket>();
  const waiting = new Set<Socket>();
  const quietSince = new Map<TLSSocket, number>();
  let timer: NodeJS.Timeout | undefined;

  // Node.js documents this event as the way to hand a connection to a TLS server.
  const handlers = server.listeners('connection');
  server.removeAllListeners('connection');
  const serve = (socket: Socket) => {
    served.add(socket);
    for (const handler of handlers) handler.call(server, socket);
  };

  const closeQuiet = () => {
    timer = undefined;
    const sorted = [...quietSince].toSorted(([, one], [, other]) => one - other);
    const latest = nowMs() - quietMs;
    for (const [socket] of sorted.filter(([, since]) => since <= latest).slice(0, waiting.size)) socket.destroy();
    watch();
  };
  const watch = () => {
    if (waiting.size > 0 && timer === undefined) timer = setTimeout(closeQuiet, quietMs / 4).unref();
  };
  const next = () => {
    for (const socket of waiting) {
      if (served.size >= most) break;
      waiting.delete(socket);
      serve(socket);
    }
  };

  server.on('connection', (socket: Socket) => {
    socket.once('close', () => {
      waiting.delete(socket);
      if (served.delete(socket)) next();
    });
    // Whoever gives up while it waits has no one else to hear of it.
    socket.on('error', () => {});
    waiting.add(socket);
    next();
    watch();
  });
  server.on('secureConnection', (socket) => {
    quietSince.set(socket, nowMs());
    socket.once('close', () => quietSince.delete(socket));
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const tls = socket as TLSSocket;
    quietSince.delete(tls);
    response.once('close', () => {
      if (!tls.destroyed) quietSince.set(tls, nowMs());
    });
  });

  return {
    counts: () => ({ served: served.size, waiting: waiting.size }),
    cutOff() {
      for (const socket of [...waiting, ...served]) socket.destroy();
    },
  };
}
