import { Agent, request, type Server } from 'node:https';
import { connect as connectPlain } from 'node:net';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import { createAdmission } from '../../../webhook/admission/admission.ts';
import { createApp } from '../../../webhook/http/app.ts';
import { createMetrics } from '../../../webhook/http/metrics.ts';
import { createTlsServer, listen } from '../../../webhook/http/server.ts';
import { mutatedReviews, wholeReviews } from '../admission/mutated-reviews.ts';
import { servingPair, useCertificates } from '../tls.ts';

const sets = useCertificates();
let server: Server;
let port: number;
let agent: Agent;
/** What was logged as the webhook's own fault. */
const ownFaults: unknown[] = [];

beforeAll(async () => {
  const admission = createAdmission({
    keys: labelKeys('rate'),
    installation: { default: {}, max: {} },
    labelsOf: async () => ({ 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '5M' }),
    quota: undefined,
  });
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: (fields: object) => ownFaults.push(fields) };
  const app = createApp({
    ...{ admission, metrics: createMetrics(), log },
    ...{ isDraining: () => false, nowMs: () => performance.now() },
  });
  server = createTlsServer(app, servingPair(sets().first));
  port = await listen(server, 0);
  agent = new Agent({ keepAlive: true, maxSockets: 8, ca: sets().first.authority.certificate });
});

afterAll(async () => {
  agent.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  /** Sent one after the other, each after a turn of the event loop. */
  readonly chunks: readonly Buffer[];
}
interface Answer {
  readonly status: number;
  readonly text: string;
}

function send({ method, path, headers, chunks }: Sent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: 'localhost', port, agent, method, path, headers }, async (response) => {
      const parts: Buffer[] = [];
      for await (const part of response) parts.push(part);
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() });
    });
    outgoing.on('error', reject);
    void (async () => {
      for (const [index, chunk] of chunks.entries()) {
        if (index > 0) await delay(1);
        outgoing.write(chunk);
      }
      outgoing.end();
    })();
  });
}

/** Throws unless the answer is a clear 4xx, or a decision with the uid of the body as it can be read. */
function judge({ method, path, chunks }: Sent, { status, text }: Answer): 'refused' | 'decided' {
  const body = method === 'HEAD' ? undefined : JSON.parse(text);
  if (status >= 400 && status < 500) {
    const isClear = body === undefined || (body.kind === 'Status' && body.code === status && body.message.length > 5);
    if (isClear && text.length < 1_000) return 'refused';
  }
  const asked = status === 200 ? JSON.parse(Buffer.concat(chunks).toString()).request.uid : undefined;
  const { response } = body ?? {};
  if (status === 200 && response.uid === asked && typeof response.allowed === 'boolean') return 'decided';
  throw new Error(`${method} ${path} was answered with ${status} ${text.slice(0, 500)}`);
}

const whole = fc.constantFrom(...wholeReviews).map((body) => Buffer.from(JSON.stringify(body)));
const mutated = mutatedReviews.map((body) => Buffer.from(JSON.stringify(body)));
const cut = fc
  .tuple(whole, fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([body, at]) => body.subarray(0, body.length * at));
const corrupt = fc
  .tuple(whole, fc.array(fc.tuple(fc.nat(2_000), fc.nat(255)), { minLength: 1, maxLength: 4 }))
  .map(([body, bytes]) => {
    const copy = Buffer.from(body);
    for (const [at, byte] of bytes) copy[at % copy.length] = byte;
    return copy;
  });
const bodies = fc.oneof(
  ...[whole, whole, whole, whole, mutated, mutated, cut, corrupt],
  whole.map((body) => gzipSync(body)),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
);
const contentTypes = [
  ...Array(40).fill('application/json'),
  ...['text/plain', 'application/json; charset=utf-8'],
  ...[
    'multipart/form-data',
    'application/x-www-form-urlencoded',
    'nonsense',
    'application/vnd.kubernetes.protobuf',
    '',
  ],
];
const requests: fc.Arbitrary<Sent> = fc
  .record({
    body: bodies,
    method: fc.constantFrom(...Array(40).fill('POST'), 'GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'PROPFIND'),
    path: fc.constantFrom(
      ...Array(6).fill('/mutate'),
      ...Array(6).fill('/validate'),
      '/validate?timeout=5s',
      '/',
      '/mutate/%ff',
      '/__proto__',
    ),
    type: fc.constantFrom(...contentTypes),
    encoding: fc.constantFrom(...Array(30).fill(''), 'gzip', 'br', 'identity', 'nonsense'),
    isChunked: fc.boolean(),
    pieces: fc.constantFrom(1, 1, 1, 3),
  })
  .map(({ body, method, path, type, encoding, isChunked, pieces }) => {
    const size = Math.max(1, Math.ceil(body.length / pieces));
    const chunks = Array.from({ length: pieces }, (_, index) => body.subarray(index * size, (index + 1) * size));
    const headers = {
      'Content-Type': type,
      ...(encoding === '' ? {} : { 'Content-Encoding': encoding }),
      ...(isChunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(body.length) }),
    };
    return { method, path, headers, chunks };
  });

describe('over TLS', () => {
  test('two thousand odd requests are each answered with a clear 4xx, or a decision with their uid', async () => {
    const counts = { refused: 0, decided: 0 };
    const left = fc.sample(requests, 2_000);
    const client = async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) counts[judge(next, await send(next))] += 1;
    };
    await Promise.all(Array.from({ length: 8 }, client));
    expect(ownFaults).toEqual([]);
    expect(counts.refused + counts.decided).toBe(2_000);
    expect(counts.decided).toBeGreaterThan(50);
  }, 60_000);

  test('a body without an end is refused at its limit, and does not pile up', async () => {
    const before = process.memoryUsage().rss;
    const megabyte = Buffer.alloc(1_000_000, ' ');
    const endless = () =>
      new Promise<{ status: number; sent: number }>((resolve, reject) => {
        let sent = 0;
        const headers = { 'Content-Type': 'application/json' };
        const outgoing = request(
          { host: 'localhost', port, agent, method: 'POST', path: '/mutate', headers },
          (response) => {
            resolve({ status: response.statusCode ?? 0, sent });
            outgoing.destroy();
          },
        );
        outgoing.on('error', reject);
        const more = () => {
          if (outgoing.destroyed) return;
          sent += 1;
          outgoing.write(megabyte, () => setImmediate(more));
        };
        more();
      });
    for (const { status, sent } of await Promise.all([endless(), endless(), endless(), endless()])) {
      expect(status).toBe(400);
      expect(sent).toBeLessThan(40);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(300_000_000);
  });

  test('clients that hang up half-way, stall, or speak no HTTP or no TLS leave it as it was', async () => {
    const ca = sets().first.authority.certificate;
    const head = 'POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
    const texts = [
      `${head}Content-Length: 1000\r\n\r\n{"apiVersion":`,
      `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
      `${head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}`,
      `${head}Content-Length: -1\r\n\r\n{}`,
      `${head}Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}`,
      `${head}X: ${'x'.repeat(100_000)}\r\n\r\n`,
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      '\0\0\0\0',
      '',
    ];
    const talk = (open: () => ReturnType<typeof connectPlain>, text: string, hangsUp: boolean) =>
      new Promise<string>((resolve) => {
        let answer = '';
        const socket = open();
        socket.on('data', (data) => {
          answer += data;
        });
        socket.on('error', () => {});
        socket.on('close', () => resolve(answer));
        socket.write(text);
        if (hangsUp) setTimeout(() => socket.destroy(), 20);
        else socket.setTimeout(300, () => socket.destroy());
      });
    const tls = () => connect({ port, host: 'localhost', ca });
    const answers = await Promise.all([
      ...texts.flatMap((text) => [talk(tls, text, true), talk(tls, text, false)]),
      ...texts.map((text) => talk(() => connectPlain(port, 'localhost'), text, false)),
    ]);
    // Nothing, an HTTP error, or a TLS alert.
    const isRight = (answer: string) =>
      answer === '' || ['HTTP/1.1 4', '\u0015\u0003'].some((start) => answer.startsWith(start));
    expect(answers.filter((answer) => !isRight(answer))).toEqual([]);
    expect(answers.filter((answer) => answer.startsWith('HTTP/1.1 400'))).not.toEqual([]);
    const [body] = wholeReviews;
    const headers = { 'Content-Type': 'application/json' };
    const right = { method: 'POST', path: '/mutate', headers, chunks: [Buffer.from(JSON.stringify(body))] };
    expect(judge(right, await send(right))).toBe('decided');
    expect(ownFaults).toEqual([]);
  });
});
