import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { DecideOptions, ValidateOptions } from './admission.ts';
import { type Caller, callerOf } from './caller.ts';
import type { Decision } from './decide.ts';
import { clientStatus, notFound, onlyMethod, sendStatus, unexpected } from './errors.ts';
import { createBodyReader } from './json-body.ts';
import type { Log } from './log.ts';
import type { Metrics, Outcome } from './metrics.ts';
import { type PodReview, readReview, writeReview } from './review.ts';
import { ReviewError } from './review-schema.ts';
import { readValidationReview, type ValidationReview } from './validation-review.ts';

/** What the application is made of. */
export interface AppParts {
  readonly mutate: (review: PodReview, how: Required<DecideOptions>) => Promise<Decision>;
  readonly validate: (review: ValidationReview, how: Required<ValidateOptions>) => Promise<Decision>;
  readonly metrics: Pick<Metrics, 'admission' | 'fault'>;
  /** Where one line per request goes. */
  readonly log: Log;
  /** Whether the process is about to stop, so that clients should open no further requests on their connections. */
  readonly isDraining: () => boolean;
  /** A clock in milliseconds that never goes back. */
  readonly nowMs: () => number;
}

type Reviewed = Pick<ValidationReview, 'uid' | 'namespace' | 'name' | 'operation' | 'dryRun'>;

/** Makes the application that answers admission reviews; it does not listen. */
export function createApp({ mutate, validate, metrics, log, isDraining, nowMs }: AppParts): Express {
  const app = express();
  const readBody = createBodyReader();
  app.disable('x-powered-by');
  app.disable('etag');

  app.use((_request, response, next) => {
    response.locals.startMs = nowMs();
    if (isDraining()) response.set('Connection', 'close');
    next();
  });

  function finish(response: Response, outcome: Outcome, operation: string, fields: object, error?: unknown): void {
    const milliseconds = nowMs() - response.locals.startMs;
    metrics.admission(operation, outcome, milliseconds / 1000);
    const line = { outcome, ...fields, milliseconds: Math.round(milliseconds * 1000) / 1000 };
    if (outcome === 'fault') log.error({ ...line, err: error }, 'admission');
    else if (outcome === 'bad-request') log.warn(line, 'admission');
    else log.info(line, 'admission');
  }

  /** Makes the handler of one kind of review. */
  function answer<Review extends Reviewed>(
    path: string,
    read: (body: unknown) => Review,
    decide: (review: Review, caller: Caller) => Promise<Decision>,
  ) {
    return async (request: Request, response: Response): Promise<void> => {
      const caller = callerOf(request, response, nowMs);
      const review = read(await readBody(request));
      const { uid, namespace, name, operation, dryRun } = review;
      const about = { path, uid, namespace, name, operation, dryRun };
      try {
        const decision = await decide(review, caller);
        const fault = decision.outcome === 'leave' ? decision.fault : undefined;
        const code = decision.outcome === 'deny' ? decision.code : fault?.code;
        if (fault !== undefined) metrics.fault(fault.mode, fault.code);
        send(response, JSON.stringify(writeReview(uid, decision)));
        finish(response, decision.outcome, operation, { ...about, code });
      } catch (error) {
        // Not an answer with "allowed": false, which would refuse the object even where failurePolicy says Ignore.
        sendStatus(response, 500, 'The webhook failed to decide about this object; its log says why.');
        finish(response, 'fault', operation, { ...about, code: 500 }, error);
      }
    };
  }

  const validating = (path: string, isStrict: boolean) =>
    answer(path, readValidationReview, (review, caller) => validate(review, { isStrict, caller }));

  function refuse(error: unknown, _request: Request, response: Response, next: NextFunction): void {
    const status = error instanceof ReviewError ? 400 : clientStatus(error);
    if (status === undefined || !(error instanceof Error)) {
      next(error);
      return;
    }
    sendStatus(response, status, error.message);
    finish(response, 'bad-request', 'unknown', { code: status, reason: error.message });
  }

  const handlers = {
    '/mutate': answer('/mutate', readReview, (review, caller) => mutate(review, { caller })),
    '/validate': validating('/validate', false),
    // The registration says by the path whether a call that fails is ignored: a pod whose mutation failed is refused here.
    '/validate/strict': validating('/validate/strict', true),
  };
  for (const [path, handler] of Object.entries(handlers)) {
    app.route(path).post(handler, refuse).all(onlyMethod('POST'));
  }
  app.use(notFound);
  app.use(unexpected((error) => log.error({ err: error }, 'unexpected error')));
  return app;
}

// Express's own way would look for a character set, and for what the client has already, in each admission.
function send(response: Response, json: string): void {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(json) }).end(json);
}
