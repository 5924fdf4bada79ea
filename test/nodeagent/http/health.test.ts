import request from 'supertest';
import { describe, expect, test } from 'vitest';
import type { AgentState } from '../../../nodeagent/agent.ts';
import { createHandler } from '../../../nodeagent/http/health.ts';
import { renderMetrics } from '../../../nodeagent/http/metrics.ts';
import { configOfLimit } from '../../../nodeagent/pods/desired.ts';
import type { PodResult, Report } from '../../../nodeagent/reconcile/reconcile.ts';
import type { Counters } from '../../../nodeagent/shaper/layout.ts';
import { parseRate } from '../../../rate/rate.ts';
import { podOf, uidOf } from '../pods.ts';

const report = (pods: readonly PodResult[]): Report => ({
  pods,
  failures: [],
  steps: {},
  slots: [],
  attached: [],
  parents: [],
});
const idle: AgentState = {
  synced: true,
  failures: {},
  passes: 1,
  passMs: 10,
  last: { report: report([]), at: 0 },
};
const verdicts = (packets: number, bytes: number) => {
  const none = { packets: 0, bytes: 0 };
  return { passed: { packets, bytes }, delayed: none, dropped: none, marked: none };
};
const counters: Counters = { egress: verdicts(3, 300), ingress: verdicts(4, 400) };

function appOf(state: () => AgentState, now = 0) {
  const metrics = () => renderMetrics({ counters: (slots) => slots.map(() => counters) }, state());
  return createHandler({ state, metrics, resyncMs: 10_000, monotonic: () => now });
}

describe('readiness', () => {
  test.each<[string, AgentState, number, number, string]>([
    ['the pods are not known', { ...idle, synced: false }, 0, 503, 'the pods of this node are not known yet\n'],
    [
      'no pass went through',
      { synced: true, failures: {}, passes: 0, passMs: 0 },
      0,
      503,
      'no pass has gone through yet\n',
    ],
    ['the last pass is too old', idle, 37_501, 503, 'the last pass is too long ago\n'],
    ['all is well', idle, 37_000, 200, 'ok\n'],
  ])('says so when %s', async (_, state, now, status, text) => {
    const response = await request(appOf(() => state, now)).get('/readyz');
    expect([response.status, response.text]).toEqual([status, text]);
  });
});

describe('health', () => {
  test('is well, also before the pods are known: a restart would not help', async () => {
    const state: AgentState = { synced: false, failures: {}, passes: 0, passMs: 0 };
    expect((await request(appOf(() => state)).get('/healthz')).status).toBe(200);
  });
});

describe('metrics', () => {
  const pod = podOf(uidOf(1));
  const slot = {
    slot: 1,
    cgroupId: 1n,
    owner: 'pod/x',
    isAlive: true,
    isMapped: true,
    attached: new Map(),
    config: configOfLimit({ egress: parseRate('1M') }),
  };
  const labels = (direction: string) =>
    `namespace="default",pod="${pod.name}",uid="${pod.uid}",direction="${direction}"`;

  test('tell of each pod what passed, from the kernel, and its limit', async () => {
    const state = { ...idle, last: { ...idle.last, report: report([{ pod, state: 'in-force', slot }]) } } as AgentState;
    const { text } = await request(appOf(() => state)).get('/metrics');
    expect(text).toContain(`podrate_pod_bytes_total{${labels('egress')},verdict="passed"} 300`);
    expect(text).toContain(`podrate_pod_packets_total{${labels('ingress')},verdict="passed"} 4`);
    expect(text).toContain(`podrate_pod_limit_bytes_per_second{${labels('egress')}} 1000000`);
    expect(text).not.toContain(`podrate_pod_limit_bytes_per_second{${labels('ingress')}}`);
    expect(text).toContain(
      '# HELP podrate_attached_pods Pods whose limit is in force\n# TYPE podrate_attached_pods gauge\n',
    );
    expect(text).toMatch(/^podrate_attached_pods 1$/m);
  });

  test('do not grow from scrape to scrape, and lose a pod with the pod', async () => {
    let pods: PodResult[] = [{ pod, state: 'in-force', slot }];
    const app = appOf(() => ({ ...idle, last: { report: report(pods), at: 0 } }));
    const first = (await request(app).get('/metrics')).text;
    expect((await request(app).get('/metrics')).text).toBe(first);
    pods = [];
    expect((await request(app).get('/metrics')).text).not.toContain(pod.name);
  });

  test('count failures by reason and pods by state', async () => {
    const failed: PodResult = { pod, state: 'failed', reason: new Error('x') };
    const state: AgentState = {
      ...idle,
      failures: { attach: 2, pass: 1 },
      last: { report: report([failed]), at: 0 },
    };
    const { text } = await request(appOf(() => state)).get('/metrics');
    expect(text).toContain('podrate_failures_total{reason="attach"} 2');
    expect(text).toContain('podrate_failures_total{reason="pass"} 1');
    expect(text).toContain('podrate_pods{state="failed"} 1');
    expect(text).toContain('podrate_attached_pods 0');
  });

  test('escape quotes, backslashes and line feeds in the values of labels', async () => {
    const state = { ...idle, failures: { 'a"b\\c\nd': 1 } };
    const { text } = await request(appOf(() => state)).get('/metrics');
    expect(text).toContain('podrate_failures_total{reason="a\\"b\\\\c\\nd"} 1');
  });
});

test('what cannot be read is an error, other paths are not there, and nothing can be sent', async () => {
  const metrics = () => {
    throw new Error('read /sys/fs/bpf: permission denied');
  };
  const app = createHandler({ state: () => idle, metrics, resyncMs: 10_000, monotonic: () => 0 });
  expect(await request(app).get('/metrics')).toMatchObject({ status: 500, text: expect.stringContaining('read /sys') });
  expect((await request(app).get('/else')).status).toBe(404);
  expect((await request(app).post('/healthz')).status).toBe(405);
});
