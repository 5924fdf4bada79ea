import express, { type Express } from 'express';
import type { Registry } from 'prom-client';
import { notFound, onlyMethod, unexpected } from './errors.ts';

/** What the health application is made of. */
export interface HealthParts {
  readonly registry: Registry;
  /** Why the process should get no requests now; undefined if it should. */
  readonly unreadyReason: () => string | undefined;
  readonly logError: (error: unknown) => void;
}

/** Makes the application for probes and Prometheus, to be served over plain HTTP; it does not listen. */
export function createHealthApp({ registry, unreadyReason, logError }: HealthParts): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app
    .route('/healthz')
    .get((_request, response) => {
      response.type('text').send('ok\n');
    })
    .all(onlyMethod('GET'));
  app
    .route('/readyz')
    .get((_request, response) => {
      const reason = unreadyReason();
      response
        .status(reason === undefined ? 200 : 503)
        .type('text')
        .send(`${reason ?? 'ok'}\n`);
    })
    .all(onlyMethod('GET'));
  app
    .route('/metrics')
    .get(async (_request, response) => {
      response.set('Content-Type', registry.contentType).send(await registry.metrics());
    })
    .all(onlyMethod('GET'));
  app.use(notFound);
  app.use(unexpected(logError));
  return app;
}
