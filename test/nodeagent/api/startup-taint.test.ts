import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keepRemovingStartupTaint, removeStartupTaint } from '../../../nodeagent/api/startup-taint.ts';

let server: Server;
let kubeConfig: KubeConfig;
let taints: object[] | undefined;
let patches: { type: string | undefined; body: unknown }[];
/** The statuses of the next patches; 200 after them. */
let statuses: number[];

const ours = { key: 'podrate.dev/agent-not-ready', effect: 'NoExecute' };
const other = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };

beforeEach(async () => {
  patches = [];
  statuses = [];
  server = createServer(async (request, response) => {
    expect(request.url).toBe('/api/v1/nodes/one');
    if (request.method === 'GET') {
      const node = { metadata: { resourceVersion: '7' }, spec: taints === undefined ? {} : { taints } };
      return response.end(JSON.stringify(node));
    }
    patches.push({ type: request.headers['content-type'], body: JSON.parse(await text(request)) });
    return response.writeHead(statuses.shift() ?? 200).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  kubeConfig = new KubeConfig();
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  kubeConfig.loadFromClusterAndUser({ name: 'fake', server: address, skipTLSVerify: true }, { name: 'nobody' });
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

test('the taint goes and the others stay, of the version of the node that was seen', async () => {
  taints = [other, ours, { ...ours, effect: 'NoSchedule' }];
  expect(await removeStartupTaint(kubeConfig, 'one')).toBe(true);
  const body = { metadata: { resourceVersion: '7' }, spec: { taints: [other] } };
  expect(patches).toEqual([{ type: 'application/merge-patch+json', body }]);
});

test.each([undefined, [], [other]])('a node without the taint is left alone: %j', async (there) => {
  taints = there;
  expect(await removeStartupTaint(kubeConfig, 'one')).toBe(true);
  expect(patches).toEqual([]);
});

test('it is tried again after a conflict and after a failure, which is logged', async () => {
  taints = [ours];
  statuses = [409, 403];
  const warn = vi.fn();
  const log = { info: vi.fn(), warn, error: vi.fn() };
  const waits: number[] = [];
  const clock = {
    random: () => 0.5,
    after: (ms: number, callback: () => void) => {
      waits.push(ms);
      setImmediate(callback);
      return () => {};
    },
  };
  keepRemovingStartupTaint(kubeConfig, 'one', clock, log);
  await vi.waitFor(() => expect(patches).toHaveLength(3));
  expect(waits).toEqual([375, 750]);
  expect(warn).toHaveBeenCalledExactlyOnceWith({ error: expect.stringContaining('HTTP 403') }, expect.any(String));
});
