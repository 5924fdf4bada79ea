import { connect } from 'node:net';
import express from 'express';
import request from 'supertest';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createBodyReader } from '../../../webhook/http/body.ts';
import { clientStatus } from '../../../webhook/http/errors.ts';
import { createPlainServer, listen } from '../../../webhook/http/server.ts';

const soon = { timeout: 10_000 };

let server: ReturnType<typeof createPlainServer>;
let port: number;
let requests: number;
let refused: ((error: unknown) => void) | undefined;

beforeEach(async () => {
  const app = express();
  const readBody = createBodyReader();
  requests = 0;
  app.post('/', async (incoming, response) => {
    requests += 1;
    try {
      response.json({ read: await readBody(incoming) });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      response.status(clientStatus(error) ?? 500).json({ message: error.message });
      refused?.(error);
    }
  });
  server = createPlainServer(app);
  port = await listen(server, 0);
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const post = (type: string, body: string | Buffer) =>
  request(server)
    .post('/')
    .set('Content-Type', type)
    .serialize(String)
    .send(body as string);

test.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;Charset="UTF-8"'])(
  '%s is read',
  async (type) => {
    expect(await post(type, '{"a":"é"}')).toMatchObject({ status: 200, body: { read: { json: { a: 'é' } } } });
  },
);

test.each([
  ['text/plain', '{}', 415, 'The content type must be application/json'],
  ['application/json', '{"a":', 400, 'The body is not JSON: '],
  ['application/json', '', 400, 'Unexpected end of JSON input'],
])('%s with the body %j is refused with a sentence', async (type, body, status, words) => {
  expect(await post(type, body)).toMatchObject({ status, body: { message: expect.stringContaining(words) } });
});

const head = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';

test('a client that hangs up half-way is at fault itself', async () => {
  const seen = new Promise((resolve) => {
    refused = resolve;
  });
  const socket = connect(port, 'localhost', () => socket.write(`${head}Content-Length: 100\r\n\r\n{"a":`));
  server.once('request', () => socket.destroy());
  expect(await seen).toMatchObject({ name: 'ReviewError', status: 400, message: 'The body ended too early: aborted.' });
});

test('of large bodies that come and stall few are read at once, small ones are read all the same, and others in their turn', async () => {
  const large = `{"a":"${'x'.repeat(200_000)}"}`;
  const stalled = Array.from({ length: 4 }, () => {
    const socket = connect(port, 'localhost', () => socket.write(`${head}Content-Length: 1000000\r\n\r\n{`));
    return socket.on('error', () => {});
  });
  await vi.waitFor(() => expect(requests).toBe(4), soon);
  let isRead = false;
  const next = post('application/json', large).then((answer) => {
    isRead = true;
    return answer;
  });
  expect(await post('application/json', '{"a":1}')).toMatchObject({ status: 200, body: { read: { json: { a: 1 } } } });
  expect(isRead).toBe(false);
  stalled[0]?.destroy();
  expect((await next).status).toBe(200);
  for (const socket of stalled) socket.destroy();
});
