import type { Request } from 'express';
import { ReviewError } from '../admission/review.ts';

// etcd takes objects of 1.5 MiB, an update carries two, and Go writes each `<` in six bytes.
const bodyLimit = 20 * 1024 * 1024;
// Each takes more memory than its text: a body has room for millions.
const structureLimit = 250_000;
// The usual review has a tenth of it. Few larger ones are read at once, so that memory is bounded whoever sends them.
const usualSize = 128 * 1024;
const largeAtOnce = 4;

/** A body of JSON; or what is known of one that is too large to be read: the uid in its first bytes. */
export type Body = { readonly json: unknown } | { readonly tooLargeFor: string };

/** Reads a body. @throws ReviewError */
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
    throw new ReviewError('The content type must be application/json, and there must be a body.', 415);
  }
  // A small compressed body could become a large one.
  const encoding = request.get('Content-Encoding')?.toLowerCase() ?? 'identity';
  if (encoding !== 'identity') throw new ReviewError('The body must not be compressed.', 415);
}

async function readJson(request: Request): Promise<Body> {
  const bytes = await readBytes(request);
  if (bytes.length > bodyLimit) return { tooLargeFor: uidIn(bytes) };
  const text = bytes.toString();
  if (hasManyStructures(text)) return { tooLargeFor: uidIn(bytes) };
  try {
    return { json: JSON.parse(text) };
  } catch (cause) {
    throw new ReviewError(`The body is not JSON: ${cause instanceof Error ? cause.message : cause}.`);
  }
}

/** Reads a body, or somewhat more than the limit of one that is longer. The rest of that one is read and dropped. */
async function readBytes(request: Request): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > bodyLimit) break;
    }
  } catch (cause) {
    throw new ReviewError(`The body ended too early: ${cause instanceof Error ? cause.message : cause}.`);
  }
  request.resume();
  return Buffer.concat(chunks);
}

function hasManyStructures(text: string): boolean {
  let count = 0;
  for (const bracket of ['{', '[']) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) {
      count += 1;
      if (count > structureLimit) return true;
    }
  }
  return false;
}

/** Returns the uid of a review; API servers write it before everything that a user can write. @throws ReviewError */
function uidIn(bytes: Buffer): string {
  const [, uid] = /"request":\{"uid":"([\w-]{1,64})"/.exec(bytes.toString('latin1', 0, 512)) ?? [];
  if (uid === undefined) throw new ReviewError(`The body has more than ${bodyLimit} bytes.`);
  return uid;
}
