/** AdmissionReviews as they should not be: whole ones of every subject that the webhook knows, with a few places made odd. */
import fc from 'fast-check';
import { podJson } from './pods.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const stamped = {
  labels: { rate: '1M', 'podrate.dev/shaped': 'true', app: 'web' },
  annotations: { 'podrate.dev/limit': '{"egress":1000000,"ingress":1000000}' },
  ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', uid: 'u', controller: true }],
};
const mark = { 'podrate.dev/dscp': 'AF41' };
const template = { metadata: { labels: { rate: '8mbit' }, annotations: mark }, spec: { containers: [] } };
const marked = {
  labels: { 'podrate.dev/shaped': 'true' },
  annotations: { ...mark, 'podrate.dev/limit': '{"dscp":34}' },
};
const plain = podJson({ labels: { rate: '1000K', 'rate-ingress': 'none' }, annotations: { note: 'x' } });
const policy = { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '5M', team: 'shop' };

const review = (resource: string, object: object, more: object = {}) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    ...{ uid: 'u-1', operation: 'CREATE', namespace: 'shop', name: 'web', dryRun: false },
    resource: { group: '', version: 'v1', resource },
    userInfo: { username: 'alice' },
    object,
    oldObject: null,
    ...more,
  },
});
const update = (oldObject: object) => ({ operation: 'UPDATE', oldObject });

/** Whole reviews. */
export const wholeReviews = [
  review('pods', plain),
  review('pods', podJson(stamped), update(podJson({ ...stamped, resourceVersion: '7' }))),
  review('pods', podJson({ annotations: mark })),
  review(
    'pods',
    podJson(marked),
    update(podJson({ labels: { rate: '2M' }, annotations: { 'podrate.dev/dscp': '8' } })),
  ),
  review('pods', podJson({ labels: { rate: '6M' } }), { userInfo: { username: 'system:node:n1' } }),
  review('deployments', { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' }, spec: { template } }),
  review('cronjobs', {
    ...{ apiVersion: 'batch/v1', kind: 'CronJob', metadata: { name: 'web' } },
    spec: { jobTemplate: { spec: { template } } },
  }),
  review('namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: policy } }),
] as unknown as readonly Json[];

const nested = JSON.parse(`${'[{"metadata":'.repeat(500)}1${'}]'.repeat(500)}`) as Json;
const polluting = JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}') as Json;
const long = 'x'.repeat(5_000);
const manyKeys = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`key-${index}`, 'value']));
const oddValues: readonly Json[] = [
  ...[
    null,
    true,
    false,
    0,
    -1,
    1.5,
    1e308,
    '',
    '0',
    'none',
    '9M',
    '1m',
    'EF',
    '0xB8',
    'Pod',
    'UPDATE',
    'DELETE',
    'CONNECT',
    '\ud800',
  ],
  ...[[], {}, [[]], [null], [1, 2], { metadata: null }, { labels: [] }, { rate: {} }, { rate: '1M' }, mark, stamped],
  ...[long, nested, polluting, manyKeys, Array<Json>(300).fill({ controller: 'yes' }), Array<Json>(300).fill({})],
];
const oddKeys = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'rate',
  'podrate.dev/limit',
  'podrate.dev/dscp',
  '',
  '~1',
  'a/b',
  long,
];

/** One change: at a place, reached by a choice at each level. */
const changes = fc.record({
  path: fc.array(fc.nat(9), { minLength: 1, maxLength: 7 }),
  act: fc.constantFrom('replace', 'replace', 'delete', 'rename', 'add'),
  value: fc.nat(oddValues.length - 1),
  key: fc.nat(oddKeys.length - 1),
});

/** Reviews with one to three places made odd. */
export const mutatedReviews = fc
  .tuple(fc.nat(wholeReviews.length - 1), fc.array(changes, { minLength: 1, maxLength: 3 }))
  .map(([index, list]) => {
    const body = structuredClone(wholeReviews[index] as Json);
    return list.reduce(change, body);
  });

type Change = typeof changes extends fc.Arbitrary<infer T> ? T : never;

function change(body: Json, { path, act, value, key }: Change): Json {
  let place = body;
  for (const [level, choice] of path.entries()) {
    if (typeof place !== 'object' || place === null) return body;
    const keys = Object.keys(place);
    const chosen = keys[choice % keys.length];
    if (chosen === undefined) return body;
    const holder = place as Record<string, Json>;
    const below = holder[chosen] as Json;
    const isLeaf = typeof below !== 'object' || below === null;
    if (level < path.length - 1 && !isLeaf) {
      place = below;
      continue;
    }
    // A copy: another change may go into it.
    const odd = structuredClone(oddValues[value] as Json);
    if (act === 'replace') define(holder, chosen, odd);
    if (act === 'delete' || act === 'rename') delete holder[chosen];
    if (act === 'rename') define(holder, oddKeys[key] as string, below);
    if (act === 'add') define(holder, oddKeys[key] as string, odd);
    return body;
  }
  return body;
}

// As JSON.parse does: an assignment to __proto__ would set the prototype.
function define(holder: object, key: string, value: Json): void {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}
