import {
  AdmissionregistrationV1Api,
  type ConfigurationOptions,
  CoreV1Api,
  type KubeConfig,
  Observable,
  PatchStrategy,
  type V1Secret,
} from '@kubernetes/client-node';
import { ApiError, type Call, explainFailure } from './api-error.ts';
import type { Pair } from './certificates.ts';

/** A pair as it is stored, with what is needed to replace exactly this version of it. */
export interface StoredPair {
  readonly pair: Pair;
  readonly secret: V1Secret;
}

/** The bundles of the webhook configuration, with what is needed to replace exactly this version of them. */
export interface StoredBundles {
  /** PEM, one per webhook; empty where nothing is set. */
  readonly bundles: readonly string[];
  readonly webhooks: readonly string[];
  readonly resourceVersion: string | undefined;
}

/** The objects of the cluster that hold certificates. Every method throws ApiError. */
export interface CertificateObjects {
  /** Reads the pair in a Secret; undefined if there is no such Secret. */
  readPair(name: string): Promise<StoredPair | undefined>;
  /** Creates the Secret, or replaces the version that was read; a conflict is an ApiError with the code api/conflict. */
  writePair(name: string, pair: Pair, authority: string | undefined, stored: StoredPair | undefined): Promise<void>;
  /** Reads the bundles of all webhooks of a mutating webhook configuration. */
  readBundles(configuration: string): Promise<StoredBundles>;
  /** Sets the bundle of all webhooks that were read, unless the configuration changed since. */
  writeBundle(configuration: string, bundle: string, stored: StoredBundles): Promise<void>;
}

const requestTimeoutMs = 10_000;
const labels = { 'app.kubernetes.io/name': 'podrate', 'app.kubernetes.io/component': 'certs' };

/** Gives access to the certificate objects of one namespace through the API server. */
export function certificateObjects(kubeConfig: KubeConfig, namespace: string): CertificateObjects {
  const core = kubeConfig.makeApiClient(CoreV1Api);
  const admission = kubeConfig.makeApiClient(AdmissionregistrationV1Api);
  const secrets = { resource: 'secrets', namespace };
  const configurations = { resource: 'mutatingwebhookconfigurations', namespace: undefined };

  return {
    async readPair(name) {
      try {
        const call: Call = { verb: 'get', name, ...secrets };
        const secret = await attempt(call, () => core.readNamespacedSecret({ name, namespace }, options()));
        return { pair: { certificate: decode(secret, 'tls.crt'), key: decode(secret, 'tls.key') }, secret };
      } catch (error) {
        if (error instanceof ApiError && error.code === 'api/not-found') return undefined;
        throw error;
      }
    },

    async writePair(name, pair, authority, stored) {
      const data: Record<string, string> = { 'tls.crt': encode(pair.certificate), 'tls.key': encode(pair.key) };
      if (authority !== undefined) data['ca.crt'] = encode(authority);
      if (stored === undefined) {
        const body = { metadata: { name, namespace, labels }, type: 'kubernetes.io/tls', data };
        const call: Call = { verb: 'create', name, ...secrets };
        await attempt(call, () => core.createNamespacedSecret({ namespace, body }, options()));
        return;
      }
      const body = { ...stored.secret, data: { ...stored.secret.data, ...data } };
      const call: Call = { verb: 'update', name, ...secrets };
      await attempt(call, () => core.replaceNamespacedSecret({ name, namespace, body }, options()));
    },

    async readBundles(name) {
      const call: Call = { verb: 'get', name, ...configurations };
      const found = await attempt(call, () => admission.readMutatingWebhookConfiguration({ name }, options()));
      const webhooks = found.webhooks ?? [];
      return {
        bundles: webhooks.map(({ clientConfig }) => Buffer.from(clientConfig.caBundle ?? '', 'base64').toString()),
        webhooks: webhooks.map((webhook) => webhook.name),
        resourceVersion: found.metadata?.resourceVersion,
      };
    },

    async writeBundle(name, bundle, { webhooks, resourceVersion }) {
      // A strategic merge finds each webhook by its name and touches nothing else; the version makes a lost race a conflict.
      const body = {
        metadata: { resourceVersion },
        webhooks: webhooks.map((webhook) => ({ name: webhook, clientConfig: { caBundle: encode(bundle) } })),
      };
      const call: Call = { verb: 'patch', name, ...configurations };
      await attempt(call, () =>
        admission.patchMutatingWebhookConfiguration({ name, body }, options(PatchStrategy.StrategicMergePatch)),
      );
    },
  };
}

async function attempt<T>(call: Call, send: () => Promise<T>): Promise<T> {
  try {
    return await send();
  } catch (error) {
    throw explainFailure(call, error);
  }
}

// The client has no time limit of its own: an API server that accepts and never answers would hold a Job for minutes.
function options(contentType?: string): ConfigurationOptions {
  return {
    middlewareMergeStrategy: 'append',
    middleware: [
      {
        pre(request) {
          request.setSignal(AbortSignal.timeout(requestTimeoutMs));
          if (contentType !== undefined) request.setHeaderParam('Content-Type', contentType);
          return new Observable(Promise.resolve(request));
        },
        post: (response) => new Observable(Promise.resolve(response)),
      },
    ],
  };
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(secret: V1Secret, key: string): string {
  return Buffer.from(secret.data?.[key] ?? '', 'base64').toString();
}
