import { isUtf8 } from 'node:buffer';
import type { Request } from 'express';

// As sigs.k8s.io/controller-runtime: an object has at most 3 MB, an update carries two, and the rest is less than 1 MB.
const bodyLimit = 7 * 1024 * 1024;
// All bodies that are being read, together: a quarter of the container's memory, room for a thousand pods of the usual size at once.
const totalLimit = 64 * 1024 * 1024;
// A client that is still sending when it is refused must see the answer before its connection is cut.
const lingerMs = 1_000;

/** A request whose body is not to be had. The message says why. */
export class BodyError extends Error {
  override readonly name = 'BodyError';
  readonly code = 'webhook/body';
  /** The HTTP status of the answer. */
  readonly status: 400 | 413 | 415;

  constructor(status: BodyError['status'], message: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** Reads a body of JSON in UTF-8. @throws BodyError */
export type ReadBody = (request: Request) => Promise<unknown>;

/**
 * Makes a reader. A body that is too large is refused as soon as it is known to be, not at its end, which may never come. Where
 * bodies that come slowly add up, the largest is cut off, so that nobody can hold all the memory and small ones are still read.
 * @param total bytes of all bodies that are being read
 */
export function createBodyReader(total = totalLimit): ReadBody {
  const sizes = new Map<Request, number>();
  let held = 0;
  const release = (request: Request) => {
    held -= sizes.get(request) ?? 0;
    sizes.delete(request);
  };
  const hold = (request: Request, size: number) => {
    release(request);
    sizes.set(request, size);
    held += size;
    if (held <= total) return;
    const [largest] = [...sizes].reduce((one, other) => (other[1] > one[1] ? other : one));
    release(largest);
    largest.destroy(new Error('too much else is being read'));
  };
  return async (request) => {
    requireJson(request);
    try {
      return parse(await readBytes(request, (size) => hold(request, size)));
    } finally {
      release(request);
    }
  };
}

function requireJson(request: Request): void {
  if (request.is('application/json') !== 'application/json') {
    throw new BodyError(415, 'The content type must be application/json, and there must be a body.');
  }
  const [, charset = 'utf-8'] = /;\s*charset\s*=\s*"?([^\s;"]*)/i.exec(request.get('Content-Type') ?? '') ?? [];
  if (charset.toLowerCase() !== 'utf-8') throw new BodyError(415, 'The character set must be UTF-8.');
  // A small compressed body could become a large one.
  const encoding = request.get('Content-Encoding')?.toLowerCase() ?? 'identity';
  if (encoding !== 'identity') throw new BodyError(415, 'The body must not be compressed.');
}

function parse(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new BodyError(400, 'The body is not UTF-8.');
  try {
    return JSON.parse(bytes.toString());
  } catch (cause) {
    throw new BodyError(400, `The body is not JSON: ${cause instanceof Error ? cause.message : cause}.`, cause);
  }
}

function readBytes(request: Request, onSize: (size: number) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (Number(request.get('Content-Length') ?? 0) > bodyLimit) {
      reject(tooLarge(request));
      return;
    }
    const chunks: Buffer[] = [];
    let size = 0;
    const take = (chunk: Buffer) => {
      size += chunk.length;
      if (size > bodyLimit) {
        request.off('data', take);
        reject(tooLarge(request));
        return;
      }
      chunks.push(chunk);
      onSize(size);
    };
    request.on('data', take);
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('error', (cause) => reject(new BodyError(400, `The body ended too early: ${cause.message}.`, cause)));
  });
}

function tooLarge(request: Request): BodyError {
  const cut = setTimeout(() => request.destroy(), lingerMs);
  request.once('close', () => clearTimeout(cut));
  request.resume();
  return new BodyError(413, `The body has more than ${bodyLimit} bytes.`);
}
