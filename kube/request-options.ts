import { type ConfigurationOptions, Observable } from '@kubernetes/client-node';

/**
 * Options of one call to the API server.
 * @param timeoutMs the client has no time limit of its own: an API server that accepts and never answers would hold a
 * call for ever
 * @param headers set in place of the client's own
 */
export function requestOptions(
  timeoutMs: number,
  headers: Readonly<Record<string, string>> = {},
): ConfigurationOptions {
  return {
    middlewareMergeStrategy: 'append',
    middleware: [
      {
        pre(request) {
          request.setSignal(AbortSignal.timeout(timeoutMs));
          for (const [name, value] of Object.entries(headers)) request.setHeaderParam(name, value);
          return new Observable(Promise.resolve(request));
        },
        post: (response) => new Observable(Promise.resolve(response)),
      },
    ],
  };
}
