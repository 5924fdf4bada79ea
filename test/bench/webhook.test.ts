import { expect, test } from 'vitest';
import { parseOptions } from '../../bench/webhook/options.ts';
import { planRuns } from '../../bench/webhook/plan.ts';
import { requestOf } from '../../bench/webhook/requests.ts';
import { judge } from '../../bench/webhook/results/bars.ts';
import type { Figures } from '../../bench/webhook/results/figures.ts';
import { type RunResult, summarizeRuns } from '../../bench/webhook/results/results.ts';
import { chooseScenarios, scenarios } from '../../bench/webhook/scenarios.ts';
import { shippedStart } from '../../bench/webhook/testbed/bundle.ts';
import { peerRegistrations, podrateRegistrations } from '../../bench/webhook/testbed/registrations.ts';
import { takerLabel, type VariantName } from '../../bench/webhook/variants.ts';

const run = (
  scenario: string,
  variant: VariantName,
  latencies: readonly number[],
  figures: Figures = {},
): RunResult => ({
  ...{ scenario, variant, round: 0, latencies, figures, failures: {} },
});
const times = (count: number, value: number) => Array.from({ length: count }, () => value);

test('what podrate adds to p99 is held against what the peer adds', () => {
  const runs = [
    run('pods, 1 client', 'none', [2]),
    run('pods, 1 client', 'podrate', [6]),
    run('pods, 1 client', 'peer', [4]),
    run('pods, 1 client', 'peer-mutate', [2]),
  ];
  const planned = scenarios.map(({ name }) => name);
  const bars = new Map(judge(runs, planned, Math.random).map((judgement) => [judgement.bar, judgement]));
  expect(bars.get('p99 added to a create, against the peer, 1 client')).toMatchObject({ value: 2 });
  expect(bars.get('p99 added to a create, against the peer, 1 client')?.missedBy).toBeCloseTo(0.5);
  expect(bars.get('p99 added to a create, against the peer, 1 client')).not.toHaveProperty('interval');
  // Nothing added by the peer, or nothing measured: no verdict that could pass.
  expect(bars.get('the same, against the peer that only mutates, 1 client')?.missedBy).toBe(Infinity);
  expect(bars.get('p99 added to a create, against the peer, 100 clients')?.missedBy).toBe(Infinity);
});

test('how far a ratio is to be trusted shows in what becomes of it when its runs are drawn anew', () => {
  // In every other run two of a hundred are slow: one in a hundred of all, so that each more or less moves p99 over the edge.
  const runs = (slow: number) =>
    Array.from({ length: 20 }, (_, index) => {
      const some = index % 2 === 0 ? 2 : 0;
      return [
        run('pods, 1 client', 'none', times(100, 2)),
        run('pods, 1 client', 'podrate', [...times(100 - some, 5), ...times(some, slow)]),
        run('pods, 1 client', 'peer', [...times(100 - some, 5), ...times(some, slow)]),
      ];
    }).flat();
  const [same] = judge(runs(5), ['pods, 1 client'], Math.random);
  expect(same).toMatchObject({ value: 1, interval: [1, 1], missedBy: 0 });
  const [wide] = judge(runs(9), ['pods, 1 client'], Math.random);
  expect(wide?.value).toBe(1);
  expect(wide?.interval?.[0]).toBeLessThan(0.5);
  expect(wide?.interval?.[1]).toBeGreaterThan(2);
});

test('bars about scenarios that were not to run are left out', () => {
  const chosen = chooseScenarios(['pods, 1 client', '1,000']).map(({ name }) => name);
  expect(chosen).toEqual(['pods, 1 client', 'pods, 1,000 clients']);
  expect(judge([], chosen, Math.random).map(({ bar }) => bar)).toEqual([
    'p99 added to a create, against the peer, 1 client',
    'the same, against the peer that only mutates, 1 client',
    'failed creates, 1,000 in flight',
    'failed creates, 1,000 in flight, quota',
  ]);
  expect(chooseScenarios(['nothing'])).toEqual([]);
  expect(chooseScenarios([])).toBe(scenarios);
});

test('percentiles are those of all requests together, failures are added up, the rest are medians over the runs', () => {
  const name = 'pods, 1,000 clients';
  const results = summarizeRuns(
    ['another', name],
    [
      run(name, 'podrate', [1, 2, 3], { perSecond: 10, failed: 0 }),
      run(name, 'podrate', [], { perSecond: 0, failed: 3 }),
      run(name, 'podrate', [4, 5], { perSecond: 11, failed: 1 }),
    ],
  );
  const figures = { p50: 3, p99: 5, perSecond: 10, failed: 4 };
  expect(results).toEqual([{ scenario: name, variants: { podrate: figures } }]);
});

test('each round has every variant of every scenario, reviews come first, then one client, a hundred, and all else', () => {
  const runs = planRuns(scenarios, 2, Math.random);
  const inRound = scenarios.map(({ variants, times }) => variants.length * times).reduce((one, other) => one + other);
  expect(runs).toHaveLength(2 * inRound);
  const hundred = runs.filter(({ scenario, round }) => scenario.name === 'pods, 100 clients' && round === 1);
  expect(hundred.filter(({ variant }) => variant === 'peer')).toHaveLength(3);
  const kinds = runs.map(({ scenario }) => scenario.kind);
  expect(kinds.lastIndexOf('reviews')).toBeLessThan(kinds.indexOf('pods'));
  const names = runs.map(({ scenario }) => scenario.name);
  expect(names.lastIndexOf('pods, 1 client')).toBeLessThan(names.indexOf('pods, 100 clients'));
  expect(names.lastIndexOf('pods, 100 clients')).toBeLessThan(names.findIndex((name) => name.includes('1,000')));
});

test('everybody takes the pods of their own namespaces only, and nothing that fails is admitted', async () => {
  const registrations = [...(await podrateRegistrations('QQ==')), ...peerRegistrations('peer', 'QQ==')] as {
    webhooks: { failurePolicy: string; clientConfig: { caBundle: string }; namespaceSelector?: object }[];
  }[];
  const hooks = registrations.flatMap(({ webhooks }) => webhooks);
  for (const { failurePolicy, clientConfig, namespaceSelector } of hooks) {
    expect(failurePolicy).toBe('Fail');
    expect(clientConfig.caBundle).toBe('QQ==');
    if (namespaceSelector) expect(JSON.stringify(namespaceSelector)).toContain(takerLabel);
  }
});

test('a request is JSON with a place for a number in its name', () => {
  for (const kind of ['pods', 'reviews'] as const) {
    const { body } = requestOf(kind, 'shop', 'rate');
    expect(JSON.parse(body.replaceAll('{n}', '7'))).toBeTypeOf('object');
    expect(body).toContain('pod-{n}');
  }
});

test('the webhook is started with what the Deployment gives to node', async () => {
  const { args, env } = await shippedStart();
  expect(args).toContain('webhook/main.js');
  expect(env).not.toHaveProperty('PODRATE_MAX');
});

test('--quick is two rounds unless told otherwise; what cannot be followed is refused', () => {
  expect(parseOptions(['--quick'])).toMatchObject({ quick: true, rounds: 2 });
  expect(parseOptions([])).toMatchObject({ quick: false, rounds: 5 });
  expect(() => parseOptions(['--rounds', 'many'])).toThrow('--rounds many is not a whole number between 1 and 100.');
  expect(parseOptions(['--only', 'pods, 1 client'])).toMatchObject({ only: ['pods, 1 client'] });
  expect(() => parseOptions(['pods'])).toThrow();
});
