import { X509Certificate } from 'node:crypto';
import process from 'node:process';
import { expect, vi } from 'vitest';
import type { Cluster } from '../../cluster/cluster.ts';
import { podrateNamespace } from './installation.ts';
import type { HostWebhook } from './webhook.ts';

/** The kinds of webhook configuration. */
export const configurationKinds = ['mutatingwebhookconfiguration', 'validatingwebhookconfiguration'];

/** How long the webhook may take to repair something. */
export const soon = { timeout: 60_000, interval: 200 };

/** Builds the view of a cluster's certificates, as the API server and its clients see them. */
export function certificateView(cluster: () => Cluster) {
  const json = async (...args: string[]) => JSON.parse((await cluster().kubectl([...args, '-o', 'json'])).stdout);
  const secret = () => json('get', 'secret', 'podrate-webhook-ca', '-n', podrateNamespace);
  const decode = (text = '') => Buffer.from(text, 'base64').toString();

  /** The caBundle of each webhook of both configurations, PEM. */
  async function bundles(): Promise<string[]> {
    const found = await Promise.all(configurationKinds.map((kind) => json('get', kind, 'podrate')));
    return found.flatMap(({ webhooks }) =>
      webhooks.map(({ clientConfig }: { clientConfig: { caBundle?: string } }) => decode(clientConfig.caBundle)),
    );
  }

  /** The certificate that a replica serves. */
  async function served(port: number): Promise<X509Certificate> {
    const options = `{ host: '${cluster().hostAddress}', port: ${port}, rejectUnauthorized: false }`;
    const script = `const socket = require('node:tls').connect(${options}, () => {
      console.log(socket.getPeerX509Certificate().toString());
      socket.destroy();
    })`;
    return new X509Certificate((await cluster().spawn(process.execPath, ['-e', script])).stdout);
  }

  return {
    json,
    secret,
    bundles,
    served,
    /** The authority in the Secret, PEM. */
    authority: async () => decode((await secret()).data['tls.crt']),
    deleteSecret: () =>
      cluster().kubectl(['delete', 'secret', 'podrate-webhook-ca', '-n', podrateNamespace], { reject: false }),

    /** Writes a caBundle into every webhook of a configuration, as another program. */
    async overwrite(kind: string, bundle: string): Promise<void> {
      const { webhooks } = await json('get', kind, 'podrate');
      const patch = webhooks.map((_: object, index: number) => ({
        op: 'add',
        path: `/webhooks/${index}/clientConfig/caBundle`,
        value: Buffer.from(bundle).toString('base64'),
      }));
      await cluster().kubectl(['patch', kind, 'podrate', '--type=json', '-p', JSON.stringify(patch)]);
    },

    /** Expects that all webhooks trust what the Secret says. */
    async expectOwnBundles(): Promise<void> {
      const { data } = await secret();
      expect(new Set(await bundles())).toEqual(new Set([decode(data['ca.crt'])]));
    },

    /** Waits until both replicas serve certificates of an authority. */
    async expectServedBy(pem: string): Promise<void> {
      const { publicKey } = new X509Certificate(pem);
      await vi.waitFor(async () => {
        const certificates = await Promise.all([8443, 8444].map(served));
        expect(certificates.map((certificate) => certificate.verify(publicKey))).toEqual([true, true]);
      }, soon);
    },

    /** The notes of the webhook's events with a reason. */
    async events(reason: string): Promise<string[]> {
      const { items } = await json('get', 'events', '-n', podrateNamespace, '--field-selector', `reason=${reason}`);
      return items.map(({ message }: { message: string }) => message);
    },

    /**
     * Creates a pod and a namespace as a dry run.
     * @returns whether one was stamped and the other's wrong policy refused
     */
    async isAnswered(): Promise<boolean> {
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { generateName: 'probe-', labels: { rate: '1M' } },
        spec: { containers: [{ name: 'web', image: 'web' }] },
      };
      const labels = { 'podrate.dev/max': '1M' };
      const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'without-mode', labels } };
      const output = 'jsonpath={.metadata.labels.podrate\\.dev/shaped}';
      const args = ['create', '-f', '-', '--dry-run=server', '-o', output];
      const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [pod, namespace] });
      const { stdout, stderr } = await cluster().kubectl(args, { input, reject: false });
      return stdout === 'true' && stderr.includes('podrate.dev/max does nothing without a mode');
    },
  };
}

/** A counter of a replica's metrics. */
export async function counter(replica: HostWebhook, name: string): Promise<number> {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await replica.page('/metrics'))?.[1]);
}
