import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { admit, formatAdmitted } from '../../../cli/commands/admit.ts';
import { podrate } from '../podrate.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'podrate-admit-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function write(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const shop = (mode: string) => `apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { podrate.dev/mode: ${mode}, podrate.dev/default: 1M, podrate.dev/max: 5M } }
`;
const pod = (name: string, rate?: string) => `apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop${rate === undefined ? '' : `, labels: { rate: "${rate}" }`} }
spec: { containers: [{ name: web, image: web }] }
`;
const deployment = (rate: string) => `apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec: { template: { metadata: { labels: { rate: "${rate}" } } } }
`;

test('prints what would be stored, which is the pod with its stamp, and says nothing where nothing is wrong', async () => {
  const namespaces = await write('shop.yaml', shop('enforce'));
  const file = await write('good.yaml', [pod('plain'), pod('own', '2000K'), deployment('5M')].join('---\n'));
  const { status, out, err } = await podrate(['admit', '-f', file, '--namespace-file', namespaces]);
  expect([status, err]).toEqual([0, '']);
  const [plain, own, web] = parseAllDocuments(out).map((document) => document.toJS());
  expect(plain).toEqual({
    ...parse(pod('plain')),
    metadata: {
      name: 'plain',
      namespace: 'shop',
      labels: { 'podrate.dev/shaped': 'true' },
      annotations: {
        'podrate.dev/limit': '{"egress":1000000,"ingress":1000000}',
      },
    },
  });
  expect(own.metadata.labels.rate).toBe('2M');
  expect(web).toEqual(parse(deployment('5M')));
});

test('refuses with status 4, the sentence and JSON for programs, and shows the rest', async () => {
  const file = await write(
    'bad.yaml',
    [shop('enforce'), pod('bad', '10'), pod('much', '10M'), deployment('9M')].join('---\n'),
  );
  const { status, out } = await podrate(['admit', '-f', file, '--json']);
  expect(status).toBe(4);
  expect(JSON.parse(out)).toMatchObject([
    { object: 'namespace/shop', allowed: true, code: null, status: null },
    { object: 'shop/pod/bad', allowed: false, code: 'rate/no-unit', status: 422, result: null },
    {
      object: 'shop/pod/much',
      code: 'policy/max',
      status: 403,
      message: 'maximum rate per Pod is 5M, but limit is 10M',
    },
    { object: 'shop/deployment/web', status: 403, message: expect.stringContaining('pod template: maximum') },
  ]);
});

test('takes the modes as the webhook does', async () => {
  const answers = async (mode: string) => {
    const file = await write(`${mode}.yaml`, [shop(mode), pod('much', '10M')].join('---\n'));
    return (await admit({ file })).at(-1);
  };
  const words = 'maximum rate per Pod is 5M, but limit is 10M';
  expect(await answers('warn')).toMatchObject({ allowed: true, code: 'policy/max', message: words, warnings: [words] });
  expect(await answers('audit')).toMatchObject({ allowed: true, code: 'policy/max', message: words, warnings: [] });
});

test('judges namespaces, Lists and JSON, and passes on what is none of its business', async () => {
  const bad = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x', labels: { 'podrate.dev/max': '1M' } } };
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 's' } };
  const file = await write('list.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [bad, service] }));
  const answers = await admit({ file });
  expect(answers).toMatchObject([
    { object: 'namespace/x', status: 422 },
    { object: 'default/service/s', result: service },
  ]);
  expect(formatAdmitted(answers).said).toEqual([
    expect.stringContaining('Refused (422): namespace/x: label podrate.dev/max does nothing'),
    'not judged: Service',
  ]);
});

test('judges a whole cluster: pods before their namespaces, and nothing that admission is never asked about', async () => {
  const object = (kind: string, namespace: string, name: string, labels = {}, annotations = {}) => ({
    ...{ apiVersion: 'v1', kind },
    metadata: { name, ...(kind === 'Pod' && { namespace }), labels, annotations },
  });
  const items = [
    object('Pod', 'shop', 'much', { rate: '9M' }),
    object('Pod', 'other', 'else', { rate: 'fast' }),
    object('Pod', 'kube-system', 'own', { rate: 'fast' }),
    object('Pod', 'other', 'static', { rate: 'fast' }, { 'kubernetes.io/config.mirror': 'x' }),
    object('Namespace', '', 'shop', { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '5M' }),
  ];
  const file = await write('cluster.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  const { said } = formatAdmitted(await admit({ file }));
  expect(said).toEqual([
    'Refused (403): shop/pod/much: maximum rate per Pod is 5M, but limit is 9M',
    expect.stringContaining('Refused (422): other/pod/else: label rate: "fast"'),
    'not judged: Pod (2 objects)',
  ]);
});

test("judges by the installation's default and maximum, by option or environment", async () => {
  const namespace = shop('enforce').replace('podrate.dev/default: 1M, podrate.dev/max: 5M', 'a: b');
  const file = await write('installation.yaml', [namespace, pod('plain'), pod('much', '8M')].join('---\n'));
  for (const how of [['--default', '2M', '--max', '4M'], []]) {
    const wrapper = how.length > 0 ? [] : ['env', 'PODRATE_DEFAULT=2M', 'PODRATE_MAX=4M'];
    const { status, out, err } = await podrate(['admit', '-f', file, ...how], wrapper);
    expect([status, err]).toEqual([4, 'Refused (403): shop/pod/much: maximum rate per Pod is 4M, but limit is 8M']);
    expect(out).toContain('{"egress":2000000,"ingress":2000000}');
  }
  const wrong = await podrate(['admit', '-f', file, '--max', '4']);
  expect([wrong.status, wrong.err]).toEqual([2, expect.stringContaining('--max: "4" has no unit')]);
});

test('judges templates of a kind that it is told about, and says of which kinds it judged nothing', async () => {
  const rollout = deployment('9M').replace('apps/v1', 'argoproj.io/v1alpha1').replace('Deployment', 'Rollout');
  const file = await write('rollout.yaml', [shop('enforce'), rollout].join('---\n'));
  const unknown = await podrate(['admit', '-f', file]);
  expect([unknown.status, unknown.err]).toEqual([0, 'not judged: argoproj.io/Rollout']);
  const told = await podrate(['admit', '-f', file, '--template', 'argoproj.io/Rollout=spec.template']);
  expect([told.status, told.err]).toEqual([4, expect.stringContaining('shop/rollout/web: pod template: maximum rate')]);
});

test('writes words that YAML 1.1 takes for booleans so that kubectl reads text', async () => {
  const odd = pod('odd').replace('namespace: shop', 'namespace: shop, annotations: { answer: "yes" }');
  const { stored } = formatAdmitted(await admit({ file: await write('odd.yaml', odd) }));
  expect(stored).toContain('answer: "yes"');
});

test("takes the rate from the installation's label, by option or environment, and refuses a key that is none", async () => {
  const labels = { rate: 'fast', 'example.com/rate': '1M' };
  const labelled = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'own', labels }, spec: {} };
  const file = await write('own-key.json', JSON.stringify(labelled));
  for (const how of [['--label-key', 'example.com/rate'], []]) {
    const wrapper = how.length > 0 ? [] : ['env', 'PODRATE_LABEL_KEY=example.com/rate'];
    const { status, out } = await podrate(['admit', '-f', file, ...how], wrapper);
    expect(status).toBe(0);
    expect(parse(out).metadata.annotations).toEqual({ 'podrate.dev/limit': '{"egress":1000000,"ingress":1000000}' });
  }
  expect((await podrate(['admit', '-f', file])).err).toContain('label rate: "fast"');
  const wrong = await podrate(['admit', '-f', file, '--label-key', 'a b']);
  expect([wrong.status, wrong.err]).toEqual([2, expect.stringContaining('--label-key: The label key "a b"')]);
});

test.each([
  ['nothing', undefined, 'say what to judge: -f FILE'],
  ['no YAML', 'a: [', 'document 1 is no YAML'],
  ['no object', 'a: 1', 'document 1 is no Kubernetes object'],
  [
    'a pod with odd labels',
    'apiVersion: v1\nkind: Pod\nmetadata: { name: x, labels: { rate: 1 } }',
    'the field object.metadata.labels["rate"] must be a string, not number',
  ],
])('is told about %s', async (name, text, words) => {
  const file = text === undefined ? undefined : await write(`${name}.yaml`, text);
  await expect(admit({ file })).rejects.toMatchObject({ code: 'cli/usage', message: expect.stringContaining(words) });
});

test('a file that is not there is named', async () => {
  await expect(admit({ file: join(folder, 'gone.yaml') })).rejects.toThrow('gone.yaml cannot be read');
});

test('shows the stamp of a code point, and refuses one that is none, of pods and of pod templates', async () => {
  const annotated = (kind: string, name: string, dscp: string) => {
    const metadata = { name, annotations: { 'podrate.dev/dscp': dscp } };
    if (kind === 'Pod') return { apiVersion: 'v1', kind, metadata, spec: {} };
    return { apiVersion: 'apps/v1', kind, metadata: { name }, spec: { template: { metadata } } };
  };
  const items = [annotated('Pod', 'good', 'ef'), annotated('Pod', 'bad', '99'), annotated('Deployment', 'web', 'x')];
  const file = await write('marks.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', metadata: {}, items }));
  const [good, bad, web] = await admit({ file });
  expect(good?.result).toMatchObject({ metadata: { annotations: { 'podrate.dev/limit': '{"dscp":46}' } } });
  expect(bad).toMatchObject({ allowed: false, status: 422, code: 'dscp/too-large' });
  expect(web).toMatchObject({ allowed: false, status: 422, code: 'dscp/name' });
});
