import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import express from 'express';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { callerSignal } from '../../webhook/caller.ts';
import { listen } from '../../webhook/server.ts';

let server: Server;
let port: number;
let asked: PromiseWithResolvers<AbortSignal>;
let answer: () => void;

beforeEach(async () => {
  asked = Promise.withResolvers();
  const app = express();
  app.use((incoming, response) => {
    answer = () => void response.end();
    asked.resolve(callerSignal(incoming, response));
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
  const signal = await asked.promise;
  expect(signal.aborted).toBe(false);
  await once(signal, 'abort');
  expect(performance.now() - begunMs).toBeGreaterThanOrEqual(370);
  expect(String(signal.reason)).toContain('no decision in the 0.4 s that the API server waits');
});

test.each(['', '?timeout=', '?timeout=1h', '?timeout=-1s', '?timeout=9999999999s', '?timeout=30s'])(
  'with the query %j waits longer than the usual handling takes, and ends when the caller is gone',
  async (query) => {
    const calling = call(query);
    const signal = await asked.promise;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(signal.aborted).toBe(false);
    calling.destroy();
    await once(signal, 'abort');
    expect(String(signal.reason)).toContain('does not wait for the answer any more');
  },
);

test('is not aborted by an answer in time', async () => {
  const calling = call('?timeout=300ms');
  const signal = await asked.promise;
  answer();
  await once(calling, 'response');
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(signal.aborted).toBe(false);
});
