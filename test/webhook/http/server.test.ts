import { Agent, get, type RequestOptions, type Server } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import {
  countRequests,
  createTlsServer,
  type DrainOptions,
  drain,
  listen,
  useCertificate,
} from '../../../webhook/http/server.ts';
import { servingPair, useCertificates } from '../tls.ts';

const sets = useCertificates();
let server: Server;
let port: number;
let draining: Pick<DrainOptions, 'requestsUnderWay'>;

afterEach(() => server.closeAllConnections());

async function start(answerMs = 0, isDraining = () => false): Promise<void> {
  server = createTlsServer((_request, response) => {
    if (isDraining()) response.setHeader('Connection', 'close');
    setTimeout(() => response.end('ok'), answerMs);
  }, servingPair(sets().first));
  draining = { requestsUnderWay: countRequests(server) };
  port = await listen(server, 0);
}

interface Answer {
  readonly text: string;
  readonly serial: string;
  readonly connection: string | undefined;
  readonly isResumed: boolean;
}

/** One request; gives the answer, and of its connection the certificate's serial number and whether its session is an older one's. */
function ask(agent: Agent): Promise<Answer> {
  const options: RequestOptions = { port, agent, ca: sets().first.authority.certificate };
  return new Promise((resolve, reject) => {
    get('https://localhost', options, (response) => {
      const socket = response.socket as TLSSocket;
      const serial = socket.getPeerCertificate().serialNumber;
      const isResumed = socket.isSessionReused();
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ text, serial, isResumed, connection: response.headers.connection }));
    }).on('error', reject);
  });
}

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'no session of %s is kept, also with another certificate',
  async (version) => {
    await start();
    const agent = new Agent({ minVersion: version, maxVersion: version });
    for (let round = 0; round < 2; round += 1) {
      // An Agent offers the session of the connection before.
      for (let connection = 0; connection < 2; connection += 1) {
        expect(await ask(agent)).toMatchObject({ text: 'ok', isResumed: false });
      }
      useCertificate(server, servingPair(sets().second));
    }
    agent.destroy();
  },
);

describe('a certificate that is replaced', () => {
  test('is given to new connections, while an open one lives on with the old', async () => {
    await start();
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    const before = await ask(kept);
    useCertificate(server, servingPair(sets().second));
    expect((await ask(kept)).serial).toBe(before.serial);
    const fresh = new Agent({ maxCachedSessions: 0 });
    expect((await ask(fresh)).serial).not.toBe(before.serial);
    kept.destroy();
  });

  test('fails no request under load, on new and on kept connections', async () => {
    await start(1);
    const kept = new Agent({ keepAlive: true, maxSockets: 8 });
    const fresh = new Agent({ keepAlive: false, maxSockets: 8 });
    const { first, second } = sets();
    let running = true;
    const swapping = (async () => {
      for (let turn = 0; running; turn += 1) {
        useCertificate(server, servingPair(turn % 2 === 0 ? second : first));
        await delay(5);
      }
    })();
    const answers = await Promise.all(Array.from({ length: 400 }, (_, n) => ask(n % 2 === 0 ? kept : fresh)));
    running = false;
    await swapping;
    expect(answers.every(({ text }) => text === 'ok')).toBe(true);
    expect(new Set(answers.map(({ serial }) => serial)).size).toBe(2);
    kept.destroy();
  }, 60_000);
});

describe('a server that is drained', () => {
  test('serves on, finishes what is under way, and then takes nothing more', async () => {
    let stopping = false;
    await start(300, () => stopping);
    const agent = new Agent({ keepAlive: true });
    await ask(agent);
    stopping = true;
    const drained = drain(server, { ...draining, serveOnMs: 200, finishMs: 10_000 });
    expect(await ask(agent)).toMatchObject({ text: 'ok', connection: 'close' });
    await drained;
    await expect(ask(agent)).rejects.toThrow();
    agent.destroy();
  });

  test('does not wait for connections that never carried a request', async () => {
    await start();
    const socket = connect({ port, ca: sets().first.authority.certificate, servername: 'localhost' });
    await new Promise<void>((resolve) => socket.once('secureConnect', resolve));
    const begin = performance.now();
    await drain(server, { ...draining, serveOnMs: 0, finishMs: 60_000 });
    expect(performance.now() - begin).toBeLessThan(5_000);
    socket.destroy();
  });

  test('cuts off at its deadline what never ends', async () => {
    await start(600_000);
    const lost = ask(new Agent()).catch((error: Error) => error);
    await delay(100);
    await drain(server, { ...draining, serveOnMs: 0, finishMs: 100 });
    expect(await lost).toBeInstanceOf(Error);
  });
});

describe('the TLS of the server', () => {
  test('is version 1.2 or newer', async () => {
    await start();
    const shake = (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') =>
      new Promise<string | null>((resolve) => {
        const options = { port, ca: sets().first.authority.certificate, servername: 'localhost' };
        const range = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' } as const;
        const socket = connect({ ...options, ...range }, () => {
          resolve(socket.getProtocol());
          socket.destroy();
        });
        socket.on('error', () => resolve(null));
      });
    for (const turn of [1, 2]) {
      expect(await shake('TLSv1.1')).toBeNull();
      expect(await shake('TLSv1.2')).toBe('TLSv1.2');
      expect(await shake('TLSv1.3')).toBe('TLSv1.3');
      if (turn === 1) useCertificate(server, servingPair(sets().second));
    }
  });

  test('keeps idle connections longer than API servers do', async () => {
    await start();
    expect(server.keepAliveTimeout).toBeGreaterThan(90_000);
  });
});

test('a port that is taken is an error of listening', async () => {
  await start();
  const second = createTlsServer(() => {}, servingPair(sets().first));
  await expect(listen(second, port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
});
