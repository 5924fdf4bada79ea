import type { V1Pod } from '@kubernetes/client-node';
import { expect, test } from 'vitest';
import { shapedPods } from '../../../nodeagent/pods/desired.ts';
import { StampError } from '../../../rate/stamp.ts';

const uid = '0f3c1b62-9d1e-4b8a-8a55-0123456789ab';
const hash = '0123456789abcdef0123456789abcdef';

function pod({
  stamp,
  annotations = {},
  phase = 'Running',
}: {
  stamp?: string;
  annotations?: Record<string, string>;
  phase?: string;
}): V1Pod {
  return {
    metadata: {
      namespace: 'default',
      name: 'web',
      uid,
      labels: { 'podrate.dev/shaped': 'true' },
      annotations: { ...annotations, ...(stamp !== undefined && { 'podrate.dev/limit': stamp }) },
    },
    status: { phase, podIPs: [{ ip: '10.1.0.7' }, { ip: 'fd00::7' }] },
  };
}
const limited = '{"egress":1000000,"ingress":2000000}';

test('a marked pod asks for what its stamp says', () => {
  expect(shapedPods([pod({ stamp: limited })])).toEqual([
    {
      ...{ namespace: 'default', name: 'web', uid, cgroupUid: uid, running: true, terminating: false },
      ...{ hasProcess: false, runtimeClass: undefined },
      ...{ condition: undefined, network: { isHost: false, addresses: ['10.1.0.7', 'fd00::7'] }, queued: undefined },
      limit: { egress: 1_000_000, ingress: 2_000_000 },
    },
  ]);
});

test("a pod tells where its packets are: its addresses, and whether its network is the node's", () => {
  const marked = pod({ stamp: '{"dscp":46}' });
  marked.status = { ...marked.status, podIPs: [] };
  expect(shapedPods([marked])[0]).toMatchObject({ limit: { dscp: 46 }, network: { isHost: false, addresses: [] } });
  marked.status = { ...marked.status, podIPs: [{ ip: '10.1.0.1' }, { ip: 'fd01::1' }] };
  marked.spec = { containers: [], hostNetwork: true };
  expect(shapedPods([marked])[0]?.network).toEqual({ isHost: true, addresses: ['10.1.0.1', 'fd01::1'] });
});

test('a pod tells whether one of its containers runs, and its runtime class', () => {
  const marked = pod({ stamp: limited });
  const status = (...states: object[]) => ({ containerStatuses: states.map((state) => ({ state })) as never });
  marked.spec = { containers: [], runtimeClassName: 'kata' };
  marked.status = { ...marked.status, ...status({ waiting: { reason: 'CrashLoopBackOff' } }) };
  expect(shapedPods([marked])[0]).toMatchObject({ hasProcess: false, runtimeClass: 'kata' });
  marked.status = { ...marked.status, ...status({ waiting: {} }, { running: { startedAt: 'x' } }) };
  expect(shapedPods([marked])[0]).toMatchObject({ hasProcess: true });
});

test.each(['Succeeded', 'Failed'])('a pod that has %s asks for nothing', (phase) => {
  expect(shapedPods([pod({ stamp: limited, phase })])).toEqual([]);
});

test('a pod without the mark asks for nothing, whatever its annotation says', () => {
  const unmarked = pod({ stamp: limited });
  unmarked.metadata = { ...unmarked.metadata, labels: {} };
  expect(shapedPods([unmarked])).toEqual([]);
});

test.each(['{"egress":-1}', '{"egress":1e99}', 'nonsense', '{}', undefined])('the stamp %s is not trusted', (stamp) => {
  const [shaped] = shapedPods([pod(stamp === undefined ? {} : { stamp })]);
  expect(shaped?.limit).toBeInstanceOf(StampError);
});

test.each(['kubernetes.io/config.mirror', 'kubernetes.io/config.hash'])(
  'a static pod is found by its hash in %s',
  (key) => {
    const image = pod({ stamp: limited, annotations: { [key]: hash } });
    image.spec = { containers: [], nodeName: 'worker' };
    const owner = (name: string) => [{ apiVersion: 'v1', kind: 'Node', name, uid }];
    image.metadata = { ...image.metadata, ownerReferences: owner('worker') };
    expect(shapedPods([image])[0]?.cgroupUid).toBe(hash);
    image.metadata.ownerReferences = owner('another');
    expect(shapedPods([image])[0]?.cgroupUid).toBe(uid);
  },
);

test('a pod that its kubelet does not own up to cannot have a static pod limited in its place', () => {
  const annotations = { 'kubernetes.io/config.mirror': hash, 'kubernetes.io/config.hash': hash };
  expect(shapedPods([pod({ stamp: limited, annotations })])[0]?.cgroupUid).toBe(uid);
});

test('nobody can have another pod limited by naming its uid in an annotation', () => {
  const other = '11111111-1111-4111-8111-111111111111';
  const annotations = { 'kubernetes.io/config.mirror': other, 'kubernetes.io/config.hash': other };
  expect(shapedPods([pod({ stamp: limited, annotations })])[0]?.cgroupUid).toBe(uid);
});
