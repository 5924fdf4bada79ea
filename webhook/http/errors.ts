import type { NextFunction, Request, RequestHandler, Response } from 'express';

/** A Kubernetes Status, which API servers quote to their users when a webhook answers with an HTTP error. */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly status: 'Failure';
  readonly code: number;
  readonly message: string;
}

/** Answers with an HTTP error and a Status as its body. */
export function sendStatus(response: Response, code: number, message: string): void {
  const status: Status = { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message };
  response.status(code).json(status);
}

/** Answers requests to paths that do not exist. */
export function notFound(request: Request, response: Response): void {
  sendStatus(response, 404, `There is no ${request.path} here.`);
}

/** Answers requests to a path with a method that it does not have. */
export function onlyMethod(method: string): RequestHandler {
  return (request, response) => {
    response.set('Allow', method);
    sendStatus(response, 405, `${request.path} takes ${method}, not ${request.method}.`);
  };
}

/**
 * The HTTP status of an error that a client caused, as Express and the body's reader mark it; undefined for own faults.
 */
export function clientStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return undefined;
  return error.status >= 400 && error.status < 500 ? error.status : undefined;
}

/** Answers what no handler caught: the client's errors as such, the rest as 500 without details. */
export function unexpected(log: (error: unknown) => void) {
  return (error: unknown, _request: Request, response: Response, next: NextFunction): void => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const status = clientStatus(error);
    if (status === undefined) log(error);
    const message = status !== undefined && error instanceof Error ? error.message : 'The webhook failed.';
    sendStatus(response, status ?? 500, message);
  };
}
