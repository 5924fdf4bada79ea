import { ApiException } from '@kubernetes/client-node';
import { expect, test } from 'vitest';
import { apiFailure } from '../../kube/api-failure.ts';

const answer = (code: number, body: unknown) => new ApiException(code, 'Unknown', body, {});

test.each([
  [
    answer(403, '{"kind":"Status","message":"pods is \\"forbidden\\"","code":403}'),
    'HTTP 403: pods is \\"forbidden\\"',
  ],
  [answer(500, { kind: 'Status', message: 'etcd is away' }), 'HTTP 500: etcd is away'],
  [answer(502, '<html>Bad Gateway</html>'), 'HTTP 502: <html>Bad Gateway</html>'],
  [answer(504, undefined), 'HTTP 504: ""'],
  [new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') }), 'connect ECONNREFUSED'],
])('%s is explained in one line', (cause, said) => {
  const failure = apiFailure('list the pods', cause);
  expect(failure.message).toBe(`Could not list the pods: ${said}.`);
  expect(failure).toMatchObject({ code: 'kube/api', cause });
});
