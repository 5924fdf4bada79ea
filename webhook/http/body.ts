import type { Request } from 'express';

// An object has at most 3 MB, an update carries two, and Go writes each `<` in six bytes: reviews may have tens of
// megabytes. Nothing that a pod needs makes one larger than this.
const bodyLimit = 7 * 1024 * 1024;
// Each takes more memory than its text: a body of seven megabytes has room for millions.
const structureLimit = 250_000;
// The usual review has a tenth of it. Few larger ones are read at once, so that memory is bounded whoever sends them.
const usualSize = 128 * 1024;
const largeAtOnce = 8;
// API servers wait as long.
const arrivalMs = 10_000;

/** A body that cannot be read. The message says why. */
export class BodyError extends Error {
  override readonly name = 'BodyError';
  readonly code = 'webhook/body';
  /** The HTTP status of the answer. */
  readonly status: 400 | 408 | 415;

  constructor(status: BodyError['status'], message: string) {
    super(message);
    this.status = status;
  }
}

/** A body of JSON; or what is known of one that is too large to be read: the uid in its first bytes. */
export type Body = { readonly json: unknown } | { readonly tooLargeFor: string };

/** Reads a body. @throws BodyError */
export type ReadBody = (request: Request) => Promise<Body>;

/** Builds a reader of bodies. */
export function createBodyReader(): ReadBody {
  let large = 0;
  const waiting: (() => void)[] = [];
  return async (request) => {
    requireJson(request);
    const size = Number(request.get('Content-Length') ?? Number.POSITIVE_INFINITY);
    if (!(size > usualSize)) return readJson(request);
    if (large >= largeAtOnce) await new Promise<void>((resolve) => waiting.push(resolve));
    large += 1;
    try {
      return await readJson(request);
    } finally {
      large -= 1;
      waiting.shift()?.();
    }
  };
}

function requireJson(request: Request): void {
  if (request.is('application/json') !== 'application/json') {
    throw new BodyError(415, 'The content type must be application/json, and there must be a body.');
  }
  // A small compressed body could become a large one.
  const encoding = request.get('Content-Encoding')?.toLowerCase() ?? 'identity';
  if (encoding !== 'identity') throw new BodyError(415, 'The body must not be compressed.');
}

async function readJson(request: Request): Promise<Body> {
  const bytes = await readBytes(request);
  if (bytes.length > bodyLimit || countStructures(bytes) > structureLimit) return { tooLargeFor: uidIn(bytes) };
  try {
    return { json: JSON.parse(bytes.toString()) };
  } catch (cause) {
    throw new BodyError(400, `The body is not JSON: ${cause instanceof Error ? cause.message : cause}.`);
  }
}

/** Reads a body, or somewhat more than the limit of one that is longer. The rest of that one is read and dropped. */
function readBytes(request: Request): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (request.destroyed) throw new BodyError(400, 'The client has gone.');
    const chunks: Buffer[] = [];
    let size = 0;
    const late = setTimeout(() => {
      reject(new BodyError(408, `The body did not arrive within ${arrivalMs / 1000} s.`));
      request.destroy();
    }, arrivalMs);
    const finish = () => {
      clearTimeout(late);
      request.off('data', take);
      request.resume();
      resolve(Buffer.concat(chunks));
    };
    const take = (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > bodyLimit) finish();
    };
    request.on('data', take);
    request.once('end', finish);
    request.once('error', ({ message }) => {
      clearTimeout(late);
      reject(new BodyError(400, `The body ended too early: ${message}.`));
    });
  });
}

function countStructures(bytes: Buffer): number {
  if (bytes.length < structureLimit) return 0;
  let count = 0;
  for (const byte of bytes) if (byte === 0x7b || byte === 0x5b) count += 1;
  return count;
}

/** Returns the uid of a review; API servers write it before everything that a user can write. @throws BodyError */
function uidIn(bytes: Buffer): string {
  const [, uid] = /"request":\{"uid":"([\w-]{1,64})"/.exec(bytes.toString('latin1', 0, 512)) ?? [];
  if (uid === undefined) throw new BodyError(400, `The body has more than ${bodyLimit} bytes.`);
  return uid;
}
