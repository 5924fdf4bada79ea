import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig, type V1Pod } from '@kubernetes/client-node';

/** A small API server for the faults that a real one cannot be made to have: it lists, watches and patches pods. */
export interface FakeApiServer {
  readonly kubeConfig: KubeConfig;
  /** The query of each list and watch since the start. */
  readonly lists: URLSearchParams[];
  readonly watches: URLSearchParams[];
  /** The patches since the start. */
  readonly patches: { path: string; contentType: string | undefined; body: unknown }[];
  /** Stores a pod, and tells those who watch. */
  put(pod: V1Pod): void;
  /** Removes a pod. @param tell whether those who watch are told; otherwise they miss it */
  delete(name: string, tell?: boolean): void;
  /** Answers this many of the next lists with a status. */
  failLists(status: number, times: number): void;
  /** Answers this many of the next watches with a status. */
  failWatches(status: number, times: number): void;
  /** Answers all patches with a status; 200 is normal. */
  answerPatches(status: number): void;
  /** Tells all who watch that they have heard of all that there was. */
  bookmark(): void;
  /** Ends the watches, as API servers do after a while. */
  end(): void;
  /** Cuts the connections of all who watch. */
  drop(): void;
  /** Tells all who watch that their version is too old, and ends their connections. */
  expire(): void;
  /** Holds lists back until released. */
  holdLists(): () => void;
  /** How many connections were opened since the start. */
  connections(): number;
  /** How many watch at this moment. */
  watchers(): number;
  stop(): Promise<void>;
}

/** Starts the server on a free port. */
export async function startFakeApiServer(): Promise<FakeApiServer> {
  const pods = new Map<string, V1Pod>();
  const lists: URLSearchParams[] = [];
  const watches: URLSearchParams[] = [];
  const patches: FakeApiServer['patches'] = [];
  const open = new Set<ServerResponse>();
  let version = 1;
  let listFaults: number[] = [];
  let watchFaults: number[] = [];
  let patchStatus = 200;
  let held = Promise.resolve();

  const answer = (response: ServerResponse, status: number, body: object) => {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  };
  const failure = (code: number) => ({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code });
  const tell = (type: string, object: object) => {
    for (const response of open) response.write(`${JSON.stringify({ type, object })}\n`);
  };
  const end = () => {
    for (const response of open) response.end();
    open.clear();
  };
  const watch = (response: ServerResponse, query: URLSearchParams) => {
    watches.push(query);
    const fault = watchFaults.shift();
    if (fault !== undefined) return answer(response, fault, failure(fault));
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.flushHeaders();
    open.add(response);
    response.on('close', () => open.delete(response));
  };
  const list = async (response: ServerResponse, query: URLSearchParams) => {
    lists.push(query);
    await held;
    const fault = listFaults.shift();
    if (fault !== undefined) return answer(response, fault, failure(fault));
    const metadata = { resourceVersion: String(version) };
    answer(response, 200, { kind: 'PodList', apiVersion: 'v1', metadata, items: [...pods.values()] });
  };
  const patch = async (request: IncomingMessage, response: ServerResponse, path: string) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    patches.push({ path, contentType: request.headers['content-type'], body: JSON.parse(text) });
    answer(response, patchStatus, patchStatus === 200 ? { kind: 'Pod', apiVersion: 'v1' } : failure(patchStatus));
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (request.method === 'PATCH') void patch(request, response, url.pathname);
    else if (url.pathname !== '/api/v1/pods') answer(response, 404, failure(404));
    else if (url.searchParams.has('watch')) watch(response, url.searchParams);
    else void list(response, url.searchParams);
  });
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const kubeConfig = new KubeConfig();
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  kubeConfig.loadFromClusterAndUser({ name: 'fake', server: address, skipTLSVerify: true }, { name: 'nobody' });

  return {
    ...{ kubeConfig, lists, watches, patches },
    put(pod) {
      version += 1;
      const name = pod.metadata?.name ?? '';
      const type = pods.has(name) ? 'MODIFIED' : 'ADDED';
      const stored = { ...pod, metadata: { ...pod.metadata, resourceVersion: String(version) } };
      pods.set(name, stored);
      tell(type, stored);
    },
    delete(name, told = true) {
      version += 1;
      const pod = pods.get(name);
      pods.delete(name);
      if (told && pod !== undefined) tell('DELETED', pod);
    },
    failLists(status, times) {
      listFaults = Array.from({ length: times }, () => status);
    },
    failWatches(status, times) {
      watchFaults = Array.from({ length: times }, () => status);
    },
    answerPatches(status) {
      patchStatus = status;
    },
    bookmark() {
      tell('BOOKMARK', { kind: 'Pod', apiVersion: 'v1', metadata: { resourceVersion: String(version) } });
    },
    end,
    drop() {
      for (const response of open) response.destroy();
    },
    expire() {
      tell('ERROR', failure(410));
      end();
    },
    holdLists() {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return resolve;
    },
    connections: () => connections,
    watchers: () => open.size,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
