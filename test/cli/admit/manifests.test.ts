import { expect, test } from 'vitest';
import { parseManifests } from '../../../cli/admit/manifests.ts';

const one = (text: string) => parseManifests(text, 'file')[0];

test('merge keys are merged, as kubectl does', () => {
  const text = `
common: &common { apiVersion: v1, kind: Pod }
<<: *common
metadata: { name: web, labels: &labels { app: web } }
spec: { selector: { <<: *labels, tier: front } }
`;
  expect(one(text)).toMatchObject({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web' },
    spec: { selector: { app: 'web', tier: 'front' } },
  });
});

test('words, times and numbers are what kubectl takes them for', () => {
  const text =
    'apiVersion: v1\nkind: ConfigMap\ndata: { a: yes, b: off, c: 2026-12-01, d: 12:30:45, e: 0o17, f: "yes" }';
  expect(one(text)).toMatchObject({
    data: { a: true, b: false, c: '2026-12-01', d: '12:30:45', e: '0o17', f: 'yes' },
  });
});

test('the items of a List and of typed lists are objects, also where they do not say what they are', () => {
  const pods = { apiVersion: 'v1', kind: 'PodList', items: [{ metadata: { name: 'a' } }] };
  const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'b' } };
  const list = { apiVersion: 'v1', kind: 'List', items: [pods, deployment] };
  expect(parseManifests(JSON.stringify(list), 'file')).toMatchObject([
    { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' } },
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'b' } },
  ]);
});

test('an object of a kind that ends in List and has no items is an object', () => {
  expect(one('apiVersion: example.com/v1\nkind: AllowList\nmetadata: { name: x }')).toMatchObject({
    kind: 'AllowList',
  });
});

test.each([
  ['a key twice', 'apiVersion: v1\nkind: Pod\nkind: Pod', 'file: document 1 is no YAML: Map keys must be unique'],
  ['an item that is no object', 'apiVersion: v1\nkind: List\nitems: [1]', 'document 1 is no Kubernetes object'],
  [
    'aliases that grow without bound',
    `apiVersion: v1\nkind: Pod\n${Array.from({ length: 12 }, (_, level) => `a${level}: &a${level} [${level === 0 ? 'x' : Array(9).fill(`*a${level - 1}`)}]`).join('\n')}`,
    'document 1 is no YAML: Excessive alias count',
  ],
])('%s is refused with the number of the document', (_, text, words) => {
  expect(() => parseManifests(text, 'file')).toThrow(words);
});
