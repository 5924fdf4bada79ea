import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Pair } from '../../certs/certificates.ts';
import { makeCertificates } from '../../certs/make.ts';

type Stored = { metadata: { name: string; resourceVersion?: string }; [field: string]: unknown };

/** What a test lets the server answer instead of the object; undefined means the ordinary answer. */
export type Fault = (method: string, path: string) => number | 'hang' | 'drop' | undefined;

/**
 * A small API server for Secrets and one webhook configuration of each kind, over real HTTPS: optimistic concurrency by resource
 * version, AlreadyExists, NotFound, Status bodies, and whatever faults a test asks for.
 */
export class FakeApiServer {
  readonly objects = new Map<string, Stored>();
  readonly requests: string[] = [];
  fault: Fault = () => undefined;
  private readonly server: Server;
  private readonly authority: string;
  private version = 0;

  private constructor(pair: Pair, authority: string) {
    this.authority = authority;
    this.server = createServer({ cert: pair.certificate, key: pair.key }, (request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? '';
      const method = request.method ?? '';
      let text = '';
      request.setEncoding('utf8');
      request.on('data', (chunk: string) => {
        text += chunk;
      });
      request.on('end', () => {
        this.requests.push(`${method} ${path}`);
        const fault = this.fault(method, path);
        if (fault === 'hang') return;
        if (fault === 'drop') {
          response.destroy();
          return;
        }
        const [code, body] = fault === undefined ? this.answer(method, path, text) : status(fault);
        response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      });
    });
  }

  /** Starts a server, with certificates of its own, on a free port of the loopback interface. */
  static async start(): Promise<FakeApiServer> {
    const { serving, authority } = await makeCertificates({
      authority: undefined,
      serving: undefined,
      dnsNames: ['localhost'],
      authorityDays: 1,
      servingDays: 1,
      renew: false,
      now: new Date(),
    });
    const fake = new FakeApiServer(serving, authority.certificate);
    await new Promise<void>((resolve) => fake.server.listen(0, '127.0.0.1', resolve));
    const clientConfig = { service: { name: 'podrate-webhook' } };
    const names = ['pods.podrate.dev', 'policy-pods.podrate.dev'];
    for (const path of configurationPaths) {
      fake.put(path, { metadata: { name: 'podrate' }, webhooks: names.map((name) => ({ name, clientConfig })) });
    }
    return fake;
  }

  /** The kubeconfig of a service account with a token. */
  get kubeconfig(): string {
    const { port } = this.server.address() as AddressInfo;
    const ca = Buffer.from(this.authority).toString('base64');
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: `https://localhost:${port}`, 'certificate-authority-data': ca } }],
      users: [{ name: 'u', user: { token: 'secret-token' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    });
  }

  /** Stores an object as if somebody else had written it. */
  put(path: string, object: Stored): void {
    this.version += 1;
    this.objects.set(path, { ...object, metadata: { ...object.metadata, resourceVersion: String(this.version) } });
  }

  /** A value of a Secret's data, decoded. */
  secret(name: string, key: string): string {
    const data = this.objects.get(`${secretsPath}/${name}`)?.data as Record<string, string> | undefined;
    return Buffer.from(data?.[key] ?? '', 'base64').toString();
  }

  /** The bundle that all webhooks of both configurations trust. @throws if they differ */
  get bundle(): string {
    const bundles = configurationPaths.flatMap((path) => {
      const webhooks = this.objects.get(path)?.webhooks as { clientConfig: { caBundle?: string } }[];
      return webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? '');
    });
    const [bundle, ...others] = new Set(bundles);
    if (others.length > 0) throw new Error('the webhooks trust different bundles');
    return Buffer.from(bundle ?? '', 'base64').toString();
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(method: string, path: string, text: string): [number, unknown] {
    if (method === 'GET') {
      const found = this.objects.get(path);
      return found === undefined ? status(404) : [200, found];
    }
    const body = JSON.parse(text) as Stored;
    if (method === 'POST') {
      const created = `${path}/${body.metadata.name}`;
      if (this.objects.has(created)) return status(409);
      this.put(created, body);
      return [201, this.objects.get(created)];
    }
    const present = this.objects.get(path);
    if (present === undefined) return status(404);
    if (body.metadata.resourceVersion !== present.metadata.resourceVersion) return status(409);
    this.put(path, method === 'PATCH' ? merge(present, body) : body);
    return [200, this.objects.get(path)];
  }
}

export const secretsPath = '/api/v1/namespaces/podrate-system/secrets';
const registrations = '/apis/admissionregistration.k8s.io/v1';
export const mutatingPath = `${registrations}/mutatingwebhookconfigurations/podrate`;
export const validatingPath = `${registrations}/validatingwebhookconfigurations/podrate`;
const configurationPaths = [mutatingPath, validatingPath];

// The part of a strategic merge that matters here: webhooks are found by name.
function merge(present: Stored, patch: Stored): Stored {
  type Webhook = { name: string; clientConfig: object };
  const changes = patch.webhooks as Webhook[];
  const webhooks = (present.webhooks as Webhook[]).map((webhook) => ({
    ...webhook,
    clientConfig: { ...webhook.clientConfig, ...changes.find(({ name }) => name === webhook.name)?.clientConfig },
  }));
  return { ...present, webhooks };
}

function status(code: number): [number, unknown] {
  return [code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message: `the server said ${code}` }];
}
