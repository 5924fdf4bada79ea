import {
  AdmissionregistrationV1Api,
  type ConfigurationOptions,
  CoreV1Api,
  type KubeConfig,
  PatchStrategy,
  type V1MutatingWebhook,
  type V1Secret,
  type V1ValidatingWebhook,
} from '@kubernetes/client-node';
import { requestOptions } from '../kube/request-options.ts';
import { ApiError, type Call, explainFailure } from './api-error.ts';
import type { Pair } from './certificates.ts';

/** A pair as it is stored, with what is needed to replace exactly this version of it. */
export interface StoredPair {
  readonly pair: Pair;
  readonly secret: V1Secret;
}

/** The two kinds of webhook configuration, as their resources. */
export type ConfigurationResource = 'mutatingwebhookconfigurations' | 'validatingwebhookconfigurations';

/** The bundles of one webhook configuration, with what is needed to replace exactly this version of them. */
export interface StoredBundles {
  readonly resource: ConfigurationResource;
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
  /** Reads the bundles of all webhooks of the mutating and of the validating webhook configuration of a name. */
  readBundles(configuration: string): Promise<readonly StoredBundles[]>;
  /** Sets the bundle of all webhooks that were read of one configuration, unless it changed since. */
  writeBundle(configuration: string, bundle: string, stored: StoredBundles): Promise<void>;
}

const requestTimeoutMs = 10_000;
const labels = { 'app.kubernetes.io/name': 'podrate', 'app.kubernetes.io/component': 'certs' };

/** Gives access to the certificate objects of one namespace through the API server. */
export function certificateObjects(kubeConfig: KubeConfig, namespace: string): CertificateObjects {
  const core = kubeConfig.makeApiClient(CoreV1Api);
  const admission = kubeConfig.makeApiClient(AdmissionregistrationV1Api);
  const secrets = { resource: 'secrets', namespace };
  const kinds = {
    mutatingwebhookconfigurations: {
      read: admission.readMutatingWebhookConfiguration.bind(admission),
      patch: admission.patchMutatingWebhookConfiguration.bind(admission),
    },
    validatingwebhookconfigurations: {
      read: admission.readValidatingWebhookConfiguration.bind(admission),
      patch: admission.patchValidatingWebhookConfiguration.bind(admission),
    },
  };

  async function readOne(resource: ConfigurationResource, name: string): Promise<StoredBundles> {
    const call: Call = { verb: 'get', resource, name, namespace: undefined };
    const found = await attempt(call, () => kinds[resource].read({ name }, options()));
    const webhooks: readonly (V1MutatingWebhook | V1ValidatingWebhook)[] = found.webhooks ?? [];
    return {
      resource,
      bundles: webhooks.map(({ clientConfig }) => Buffer.from(clientConfig.caBundle ?? '', 'base64').toString()),
      webhooks: webhooks.map((webhook) => webhook.name),
      resourceVersion: found.metadata?.resourceVersion,
    };
  }

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

    readBundles: (name) =>
      Promise.all([readOne('mutatingwebhookconfigurations', name), readOne('validatingwebhookconfigurations', name)]),

    async writeBundle(name, bundle, { resource, webhooks, resourceVersion }) {
      // A strategic merge finds each webhook by its name and touches nothing else; the version makes a lost race a conflict.
      const body = {
        metadata: { resourceVersion },
        webhooks: webhooks.map((webhook) => ({ name: webhook, clientConfig: { caBundle: encode(bundle) } })),
      };
      const call: Call = { verb: 'patch', resource, name, namespace: undefined };
      await attempt(call, () => kinds[resource].patch({ name, body }, options(PatchStrategy.StrategicMergePatch)));
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

function options(contentType?: string): ConfigurationOptions {
  return requestOptions(requestTimeoutMs, contentType === undefined ? {} : { 'Content-Type': contentType });
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(secret: V1Secret, key: string): string {
  return Buffer.from(secret.data?.[key] ?? '', 'base64').toString();
}
