import express, { type Express } from 'express';
import type { Registry } from 'prom-client';
import { notFound, unexpected } from './errors.ts';

/** What the health application is made of. */
export interface HealthParts {
  readonly registry: Registry;
  /** Returns why the process should get no requests now; undefined if it should. */
  readonly unreadyReason: () => string | undefined;
  readonly logError: (error: unknown) => void;
}

/** Builds the application for probes and Prometheus, to be served over plain HTTP; it does not listen. */
export function createHealthApp({ registry, unreadyReason, logError }: HealthParts): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.get('/healthz', (_request, response) => void response.type('text').send('ok\n'));
  app.get('/readyz', (_request, response) => {
    const reason = unreadyReason();
    response.status(reason === undefined ? 200 : 503).type('text');
    response.send(`${reason ?? 'ok'}\n`);
  });
  app.get('/metrics', async (_request, response) => {
    response.set('Content-Type', registry.contentType).send(await registry.metrics());
  });
  app.use(notFound);
  app.use(unexpected(logError));
  return app;
}
