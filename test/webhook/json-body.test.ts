import { connect } from 'node:net';
import express from 'express';
import request from 'supertest';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { clientStatus } from '../../webhook/errors.ts';
import { createBodyReader } from '../../webhook/json-body.ts';
import { createPlainServer, listen } from '../../webhook/server.ts';

const soon = { timeout: 10_000 };

let server: ReturnType<typeof createPlainServer>;
let port: number;
let refused: ((error: unknown) => void) | undefined;

beforeEach(async () => {
  const app = express();
  const readBody = createBodyReader(1_000_000);
  app.post('/', async (incoming, response) => {
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
    expect(await post(type, '{"a":"é"}')).toMatchObject({ status: 200, body: { read: { a: 'é' } } });
  },
);

test.each([
  ['application/json; charset=utf-16', '{}', 415, 'The character set must be UTF-8.'],
  ['text/plain', '{}', 415, 'The content type must be application/json'],
  ['application/json', '{"a":', 400, 'The body is not JSON: '],
  ['application/json', '', 400, 'Unexpected end of JSON input'],
])('%s with the body %j is refused with a sentence', async (type, body, status, words) => {
  expect(await post(type, body)).toMatchObject({ status, body: { message: expect.stringContaining(words) } });
});

/** Sends a text, keeps the connection, and gives what was answered until it was closed. */
const talk = (...parts: (string | Buffer)[]) =>
  new Promise<string>((resolve) => {
    let answer = '';
    const socket = connect(port, 'localhost', () => {
      for (const part of parts) socket.write(part);
    });
    socket.on('data', (data) => {
      answer += data;
    });
    socket.on('error', () => {}).on('close', () => resolve(answer));
  });
const head = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';

test('a body that is not UTF-8 is refused, not repaired', async () => {
  const close = 'Connection: close\r\nContent-Length: 3\r\n\r\n';
  const answer = await talk(`${head}${close}`, Buffer.from([0x22, 0xff, 0x22]));
  expect(answer).toContain('400 Bad Request');
  expect(answer).toContain('The body is not UTF-8.');
});

test('a body that says it is too large is refused before it comes, and its connection cut if it does not end', async () => {
  const answer = await talk(`${head}Content-Length: 8000000\r\n\r\n{"`);
  expect(answer).toContain('413 Payload Too Large');
  expect(answer).toContain('The body has more than 7340032 bytes.');
});

test('a client that hangs up half-way is at fault itself', async () => {
  const seen = new Promise((resolve) => {
    refused = resolve;
  });
  const socket = connect(port, 'localhost', () => socket.write(`${head}Content-Length: 100\r\n\r\n{"a":`));
  server.once('request', () => socket.destroy());
  expect(await seen).toMatchObject({ name: 'BodyError', status: 400, message: 'The body ended too early: aborted.' });
});

test('of many bodies that come and stall the largest are cut off, and others are still read', async () => {
  const reasons: unknown[] = [];
  refused = (error) => reasons.push((error as Error).message);
  const cut: number[] = [];
  const stalled = Array.from({ length: 20 }, (_, index) => {
    // From 50 to 145 kB, together two megabytes.
    const size = 50_000 + index * 5_000;
    const socket = connect(port, 'localhost', () => {
      socket.write(`${head}Content-Length: 1000000\r\n\r\n${' '.repeat(size)}`);
    });
    return socket.on('error', () => {}).on('close', () => cut.push(size));
  });
  await vi.waitFor(() => expect(cut.length).toBeGreaterThan(7), soon);
  expect(await post('application/json', '{"a":1}')).toMatchObject({ status: 200, body: { read: { a: 1 } } });
  expect(new Set(reasons)).toEqual(new Set(['The body ended too early: too much else is being read.']));
  // What is left fits.
  await vi.waitFor(() => expect(reasons).toHaveLength(cut.length), soon);
  expect(cut.length).toBeLessThan(20);
  for (const socket of stalled) socket.destroy();
});
