import { connect, createServer, type Server, type Socket } from 'node:net';
import { listen } from '../../webhook/http/server.ts';

/** A way to a TCP server that can go silent, as a firewall or a router does that forgets its connections. */
export interface SilentPath {
  readonly port: number;
  /** From now on nothing comes through and nobody is told: not on the connections that there are, nor on new ones. */
  silence(): void;
  /** New connections come through again. The old ones stay silent for ever. */
  restore(): void;
  /** How many connections were opened since the start. */
  connections(): number;
  close(): Promise<void>;
}

/** Opens a way to a server. @param port where it begins, 0 for any */
export async function openSilentPath(
  target: { readonly host: string; readonly port: number },
  port = 0,
): Promise<SilentPath> {
  const sockets = new Set<Socket>();
  let isSilent = false;
  let connections = 0;
  const server: Server = createServer((near) => {
    connections += 1;
    sockets.add(near);
    near.on('error', () => near.destroy());
    if (isSilent) return;
    const far = connect(target);
    sockets.add(far);
    far.on('error', () => far.destroy());
    near.pipe(far).pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('close', () => {
        sockets.delete(one);
        if (!hushed.has(one)) other.destroy();
      });
    }
  });
  const hushed = new WeakSet<Socket>();
  return {
    port: await listen(server as Parameters<typeof listen>[0], port),
    silence() {
      isSilent = true;
      for (const socket of sockets) {
        hushed.add(socket);
        socket.unpipe();
        socket.resume();
      }
    },
    restore() {
      isSilent = false;
    },
    connections: () => connections,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
