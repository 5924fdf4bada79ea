import {
  AdmissionregistrationV1Api,
  type KubeConfig,
  PatchStrategy,
  type V1MutatingWebhook,
  type V1ValidatingWebhook,
} from '@kubernetes/client-node';
import { callUnless } from '../kube/api-failure.ts';
import { requestOptions } from '../kube/request-options.ts';

const resources = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'] as const;

/** One webhook of a configuration. */
export interface RegisteredWebhook {
  readonly name: string;
  /** The caBundle, PEM; empty if there is none. */
  readonly bundle: string;
}

/** One version of a webhook configuration. */
export interface Registration {
  readonly resource: (typeof resources)[number];
  readonly name: string;
  /** Undefined if the configuration does not exist. */
  readonly webhooks: readonly RegisteredWebhook[] | undefined;
  readonly resourceVersion?: string | undefined;
}

/** The webhook configurations of one name. Methods throw ApiFailure. */
export interface Registrations {
  /** Reads both. */
  read(): Promise<readonly Registration[]>;
  /** Sets the caBundle of all webhooks of one version. @returns false if another writer was first */
  publish(registration: Registration, bundle: string): Promise<boolean>;
}

const timeoutMs = 10_000;

/** Gives access to the mutating and the validating webhook configuration of a name. */
export function registrations(kubeConfig: KubeConfig, name: string): Registrations {
  const api = kubeConfig.makeApiClient(AdmissionregistrationV1Api);
  const calls = {
    mutatingwebhookconfigurations: {
      read: api.readMutatingWebhookConfiguration.bind(api),
      patch: api.patchMutatingWebhookConfiguration.bind(api),
    },
    validatingwebhookconfigurations: {
      read: api.readValidatingWebhookConfiguration.bind(api),
      patch: api.patchValidatingWebhookConfiguration.bind(api),
    },
  };

  async function read(resource: Registration['resource']): Promise<Registration> {
    const call = () => calls[resource].read({ name }, requestOptions(timeoutMs));
    const found = await callUnless([404], `read ${resource}/${name}`, call);
    if (found === undefined) return { resource, name, webhooks: undefined };
    const webhooks: readonly (V1MutatingWebhook | V1ValidatingWebhook)[] = found.webhooks ?? [];
    return {
      resource,
      name,
      webhooks: webhooks.map((webhook) => ({
        name: webhook.name,
        bundle: Buffer.from(webhook.clientConfig.caBundle ?? '', 'base64').toString(),
      })),
      resourceVersion: found.metadata?.resourceVersion,
    };
  }

  return {
    read: () => Promise.all(resources.map(read)),

    async publish({ resource, webhooks = [], resourceVersion }, bundle) {
      // A strategic merge finds webhooks by name and leaves all else alone. The version turns a lost race into a
      // conflict.
      const caBundle = Buffer.from(bundle).toString('base64');
      const patched = webhooks.map((webhook) => ({ name: webhook.name, clientConfig: { caBundle } }));
      const body = { metadata: { resourceVersion }, webhooks: patched };
      const options = requestOptions(timeoutMs, { 'Content-Type': PatchStrategy.StrategicMergePatch });
      const call = () => calls[resource].patch({ name, body }, options);
      return (await callUnless([404, 409], `patch ${resource}/${name}`, call)) !== undefined;
    },
  };
}
