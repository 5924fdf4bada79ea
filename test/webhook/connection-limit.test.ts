import { Agent, get, type Server } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { afterEach, expect, test, vi } from 'vitest';
import { type LimitedConnections, limitConnections } from '../../webhook/connection-limit.ts';
import { countRequests, createTlsServer, drain, listen } from '../../webhook/server.ts';
import { servingPair, useCertificates } from './tls.ts';

const sets = useCertificates();
let server: Server;
let port: number;
let limited: LimitedConnections;
let requestsUnderWay: () => number;
let answer: (() => void)[];

afterEach(() => limited.cutOff());

/** Starts a server that answers when it is told to. */
async function start({ most, quietMs = 60_000 }: { most: number; quietMs?: number }): Promise<void> {
  answer = [];
  server = createTlsServer((_request, response) => {
    answer.push(() => response.end('ok'));
  }, servingPair(sets().first));
  requestsUnderWay = countRequests(server);
  limited = limitConnections(server, { most, quietMs, nowMs: () => performance.now() });
  port = await listen(server, 0);
}

const trust = () => ({ port, ca: sets().first.authority.certificate, servername: 'localhost' });

function ask(agent = new Agent({ keepAlive: false })): Promise<string> {
  return new Promise((resolve, reject) => {
    get('https://localhost', { ...trust(), agent }, async (response) => {
      resolve((await response.toArray()).join(''));
    }).on('error', reject);
  });
}

const counts = (served: number, waiting: number) =>
  vi.waitFor(() => expect(limited.counts()).toEqual({ served, waiting }), { timeout: 10_000, interval: 5 });
/** Waits for so many requests that have no answer yet. */
const asked = (count: number) => vi.waitFor(() => expect(answer).toHaveLength(count), { timeout: 10_000, interval: 5 });

test('no more connections than the limit are served at once, and all are in the end, in the order in which they came', async () => {
  await start({ most: 3 });
  const order: number[] = [];
  const asking: Promise<void>[] = [];
  for (let index = 0; index < 12; index += 1) {
    asking.push(
      ask().then((text) => {
        expect(text).toBe('ok');
        order.push(index);
      }),
    );
    await counts(Math.min(3, index + 1), Math.max(0, index - 2));
    if (index < 3) await asked(index + 1);
  }
  for (let done = 0; done < 12; done += 1) {
    await counts(Math.min(3, 12 - done), Math.max(0, 9 - done));
    await asked(Math.min(3, 12 - done));
    expect(requestsUnderWay()).toBeLessThanOrEqual(3);
    answer.shift()?.();
  }
  await Promise.all(asking);
  expect(order).toEqual(order.toSorted((one, other) => one - other));
  await counts(0, 0);
}, 60_000);

test('a connection without a request keeps its place while no other waits, and gives it up to one that does', async () => {
  await start({ most: 2, quietMs: 100 });
  const kept = new Agent({ keepAlive: true });
  const first = ask(kept);
  await asked(1);
  answer.shift()?.();
  await first;
  const silent = connectTls(trust());
  const silenced = new Promise((resolve) => silent.once('close', resolve));
  silent.on('error', () => {});
  await counts(2, 0);
  await delay(300);
  expect(limited.counts()).toEqual({ served: 2, waiting: 0 });

  const [one, other] = [ask(), ask()];
  await asked(2);
  await silenced;
  for (const end of answer) end();
  expect(await Promise.all([one, other])).toEqual(['ok', 'ok']);
  kept.destroy();
});

test('a connection with a request under way is never closed for one that waits', async () => {
  await start({ most: 1, quietMs: 20 });
  const slow = ask();
  await asked(1);
  const patient = ask();
  await counts(1, 1);
  await delay(200);
  expect(limited.counts()).toEqual({ served: 1, waiting: 1 });
  answer.shift()?.();
  expect(await slow).toBe('ok');
  await asked(1);
  answer.shift()?.();
  expect(await patient).toBe('ok');
});

test('one that gives up while it waits takes no place', async () => {
  await start({ most: 1 });
  const slow = ask();
  await asked(1);
  const impatient = connectTcp(port, 'localhost');
  await counts(1, 1);
  impatient.resetAndDestroy();
  const next = ask();
  await counts(1, 2);
  answer.shift()?.();
  expect(await slow).toBe('ok');
  await asked(1);
  answer.shift()?.();
  expect(await next).toBe('ok');
  await counts(0, 0);
});

test('draining ends connections that wait and those that are at their handshake', async () => {
  await start({ most: 1 });
  const sockets = [1, 2].map(() => connectTcp(port, 'localhost'));
  const closed = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
  for (const socket of sockets) socket.on('error', () => {});
  await counts(1, 1);
  await drain(server, { requestsUnderWay, cutOff: limited.cutOff, serveOnMs: 0, finishMs: 60_000 });
  await Promise.all(closed);
  await counts(0, 0);
});
