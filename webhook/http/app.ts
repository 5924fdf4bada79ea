import express, { type Express, type Request, type Response } from 'express';
import type { Admission } from '../admission/admission.ts';
import type { Decision } from '../admission/decision.ts';
import { readReview, writeReview } from '../admission/review.ts';
import { createBodyReader } from './body.ts';
import { notFound, sendError, unexpected } from './errors.ts';
import type { Log } from './log.ts';
import type { Metrics, Outcome } from './metrics.ts';

/** What the application is made of. */
export interface AppParts {
  readonly admission: Admission;
  readonly metrics: Pick<Metrics, 'admission' | 'fault'>;
  readonly log: Log;
  /** Whether the process is about to stop, so that clients should open no further requests on their connections. */
  readonly isDraining: () => boolean;
  /** A clock in milliseconds that never goes back. */
  readonly nowMs: () => number;
}

// Of a name in the log: whoever sends a review itself can write a longer one.
const longestName = 300;

const operations = ['CREATE', 'UPDATE'] as const;
const levels = { leave: 'debug', patch: 'debug', deny: 'info', 'bad-request': 'warn', fault: 'error' } as const;

const tooLarge: Decision = {
  outcome: 'deny',
  status: 413,
  code: 'review/too-large',
  message: 'podrate cannot decide about an object this large: make it smaller, or leave out rates and code points',
};

/** Builds the application that answers admission reviews; it does not listen. */
export function createApp({ admission, metrics, log, isDraining, nowMs }: AppParts): Express {
  const app = express();
  const readBody = createBodyReader();
  app.disable('x-powered-by');
  app.disable('etag');

  app.use((_request, response, next) => {
    response.locals.startMs = nowMs();
    if (isDraining()) response.set('Connection', 'close');
    next();
  });

  function record(response: Response, outcome: Outcome, operation: string, fields: object): void {
    const milliseconds = nowMs() - response.locals.startMs;
    metrics.admission(operation, outcome, milliseconds / 1000);
    const line = { outcome, ...fields, milliseconds: Math.round(milliseconds * 1000) / 1000 };
    log[levels[outcome]](line, 'admission');
  }

  const handler = (path: string, decide: Admission['mutate']) => {
    const hasPolicy = path.endsWith('/policy');
    return async (request: Request, response: Response): Promise<void> => {
      let operation: string = 'unknown';
      let about: object = { path };
      const answer = (uid: string, decision: Decision) => {
        const fault = decision.outcome === 'leave' ? decision.fault : undefined;
        if (fault !== undefined) metrics.fault(fault.mode, fault.code);
        response.json(writeReview(uid, decision));
        const code = decision.outcome === 'deny' ? decision.code : fault?.code;
        record(response, decision.outcome, operation, { ...about, uid, code });
      };
      try {
        const signal = hasPolicy ? signalOf(response) : undefined;
        const body = await readBody(request);
        if ('tooLargeFor' in body) return answer(body.tooLargeFor, tooLarge);
        const review = readReview(body.json);
        const { uid, namespace, name, dryRun } = review;
        operation = operations.find((known) => known === review.operation) ?? 'unknown';
        about = { path, uid, namespace: cut(namespace), name: cut(name), operation, dryRun };
        answer(uid, await decide(review, { hasPolicy, signal }));
      } catch (err) {
        // A fault is no answer with "allowed": false, which would refuse the object even where failurePolicy says Ignore.
        const code = sendError(response, err, 'podrate failed to decide about this object; its log says why');
        const reason = code === 500 ? { err } : { reason: cut(String(err)) };
        record(response, code === 500 ? 'fault' : 'bad-request', operation, { ...about, code, ...reason });
      }
    };
  };

  // The registrations say by the path which namespaces have a policy.
  const paths = { '/mutate': admission.mutate, '/validate': admission.validate };
  for (const [path, decide] of Object.entries(paths)) {
    for (const each of [path, `${path}/policy`]) app.post(each, handler(each, decide));
  }
  app.use(notFound);
  app.use(unexpected((error) => log.error({ err: error }, 'unexpected error')));
  return app;
}

/** Returns a signal that is aborted when the API server closes the connection, because it no longer waits. */
function signalOf(response: Response): AbortSignal {
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableEnded) gone.abort(new Error('The API server no longer waits for the answer.'));
  });
  return gone.signal;
}

function cut(text: string): string {
  return text.slice(0, longestName);
}
