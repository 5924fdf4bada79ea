import type { NextFunction, Request, Response } from 'express';

/**
 * Answers with an HTTP error. Its body is a Kubernetes Status, which API servers quote to their users when a webhook
 * answers so.
 */
export function sendStatus(response: Response, code: number, message: string): void {
  response.status(code).json({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message });
}

/** Answers requests to paths that do not exist, or not with this method. */
export function notFound({ method, path }: Request, response: Response): void {
  sendStatus(response, 404, `There is no ${method} ${path} here.`);
}

/**
 * The HTTP status of an error that a client caused, as Express and the body's reader mark it; undefined for own faults.
 */
export function clientStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return undefined;
  return error.status >= 400 && error.status < 500 ? error.status : undefined;
}

/**
 * Answers with an error: a client's as such, any other as 500 without its details.
 * @returns the HTTP status
 */
export function sendError(response: Response, error: unknown, ownFault: string): number {
  const status = clientStatus(error);
  sendStatus(response, status ?? 500, status !== undefined && error instanceof Error ? error.message : ownFault);
  return status ?? 500;
}

/** Answers what no handler caught, and logs what no client caused. */
export function unexpected(log: (error: unknown) => void) {
  return (error: unknown, _request: Request, response: Response, next: NextFunction): void => {
    if (response.headersSent) next(error);
    else if (sendError(response, error, 'The webhook failed.') === 500) log(error);
  };
}
