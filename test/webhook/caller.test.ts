import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import express from 'express';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Caller, callerOf } from '../../webhook/caller.ts';
import { listen } from '../../webhook/server.ts';

let server: Server;
let port: number;
let asked: PromiseWithResolvers<Caller>;
let answer: () => void;
let closed: Promise<unknown>;
let passedMs: number;

beforeEach(async () => {
  asked = Promise.withResolvers();
  passedMs = 0;
  const app = express();
  app.use((incoming, response) => {
    answer = () => void response.end();
    closed = once(response, 'close');
    asked.resolve(callerOf(incoming, response, () => performance.now() + passedMs));
  });
  server = createServer(app);
  port = await listen(server, 0);
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const call = (query: string) => {
  const calling = request({ port, path: `/mutate${query}` });
  calling.on('error', () => {});
  calling.end();
  return calling;
};

test.each(['?timeout=400ms', '?x=y&timeout=400ms'])('ends a little before the time of %s is over', async (query) => {
  const begunMs = performance.now();
  call(query);
  const { signal } = await asked.promise;
  expect(signal.aborted).toBe(false);
  await once(signal, 'abort');
  expect(performance.now() - begunMs).toBeGreaterThanOrEqual(370);
  expect(String(signal.reason)).toContain('no decision in the 0.4 s that the API server waits');
});

test.each(['', '?timeout=', '?timeout=1h', '?timeout=-1s', '?timeout=9999999999s', '?timeout=30s'])(
  'with the query %j waits longer than the usual handling takes, and ends when the caller is gone',
  async (query) => {
    const calling = call(query);
    const { signal } = await asked.promise;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(signal.aborted).toBe(false);
    calling.destroy();
    await once(signal, 'abort');
    expect(String(signal.reason)).toContain('does not wait for the answer any more');
  },
);

test('is not aborted by an answer in time', async () => {
  const calling = call('?timeout=300ms');
  const { signal } = await asked.promise;
  answer();
  await once(calling, 'response');
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(signal.aborted).toBe(false);
});

test('a signal that is asked for late has what is left of the time', async () => {
  call('?timeout=30s');
  const caller = await asked.promise;
  passedMs += 28_450;
  await once(caller.signal, 'abort');
  expect(String(caller.signal.reason)).toContain('no decision in the 30 s');
  expect(caller.signal).toBe(caller.signal);
});

test('a signal that is asked for when the caller has gone is aborted', async () => {
  const calling = call('?timeout=10s');
  const caller = await asked.promise;
  calling.destroy();
  await closed;
  expect(caller.signal.aborted).toBe(true);
});
