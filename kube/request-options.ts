import { type ConfigurationOptions, Observable } from '@kubernetes/client-node';

/**
 * Options of one call to the API server.
 * @param time in ms, or until a signal: the client has no time limit of its own, and an API server that accepts and never answers
 * would hold a call for ever
 * @param headers set in place of the client's own
 */
export function requestOptions(
  time: number | AbortSignal,
  headers: Readonly<Record<string, string>> = {},
): ConfigurationOptions {
  return {
    middlewareMergeStrategy: 'append',
    middleware: [
      {
        pre(request) {
          request.setSignal(typeof time === 'number' ? AbortSignal.timeout(time) : time);
          for (const [name, value] of Object.entries(headers)) request.setHeaderParam(name, value);
          return new Observable(Promise.resolve(request));
        },
        post: (response) => new Observable(Promise.resolve(response)),
      },
    ],
  };
}
