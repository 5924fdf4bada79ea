import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Decision } from './decide.ts';
import { clientStatus, notFound, onlyMethod, sendStatus, unexpected } from './errors.ts';
import type { Metrics, Outcome } from './metrics.ts';
import { type PodReview, ReviewError, readReview, writeReview } from './review.ts';

/** Where one line per request goes. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What the application is made of. */
export interface AppParts {
  readonly decide: (review: PodReview) => Decision;
  readonly metrics: Pick<Metrics, 'admission'>;
  readonly log: Log;
  /** Whether the process is about to stop, so that clients should open no further requests on their connections. */
  readonly isDraining: () => boolean;
  /** A clock in milliseconds that never goes back. */
  readonly nowMs: () => number;
}

// As sigs.k8s.io/controller-runtime: an object has at most 3 MB, an update carries two, and the rest is less than 1 MB.
const bodyLimit = 7 * 1024 * 1024;

/** Makes the application that answers admission reviews; it does not listen. */
export function createApp({ decide, metrics, log, isDraining, nowMs }: AppParts): Express {
  const app = express();
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

  function mutate(request: Request, response: Response): void {
    const review = readReview(request.body);
    const { uid, namespace, name, operation, dryRun } = review;
    const about = { uid, namespace, name, operation, dryRun };
    try {
      const decision = decide(review);
      const code = decision.outcome === 'deny' ? decision.code : undefined;
      response.json(writeReview(uid, decision));
      finish(response, decision.outcome, operation, { ...about, code });
    } catch (error) {
      // Not an answer with "allowed": false, which would refuse the pod even where failurePolicy says Ignore.
      sendStatus(response, 500, 'The webhook failed to decide about this pod; its log says why.');
      finish(response, 'fault', operation, { ...about, code: 500 }, error);
    }
  }

  function refuse(error: unknown, _request: Request, response: Response, next: NextFunction): void {
    const status = error instanceof ReviewError ? 400 : clientStatus(error);
    if (status === undefined || !(error instanceof Error)) {
      next(error);
      return;
    }
    sendStatus(response, status, error.message);
    finish(response, 'bad-request', 'unknown', { code: status, reason: error.message });
  }

  app
    .route('/mutate')
    .post(requireJson, express.json({ limit: bodyLimit, inflate: false }), mutate, refuse)
    .all(onlyMethod('POST'));
  app.use(notFound);
  app.use(unexpected((error) => log.error({ err: error }, 'unexpected error')));
  return app;
}

class MediaTypeError extends Error {
  readonly status = 415;
}

function requireJson(request: Request, _response: Response, next: NextFunction): void {
  if (request.is('application/json') === 'application/json') next();
  else next(new MediaTypeError('The content type must be application/json, and there must be a body.'));
}
