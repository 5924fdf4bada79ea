import { type KubeConfig, PatchStrategy, type V1ValidatingWebhookConfiguration } from '@kubernetes/client-node';
import { type ApiCall, callApi } from '../kube/call.ts';

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
  // The mutating one's fields that matter here are the same.
  const call = (
    verb: string,
    resource: Registration['resource'],
    request: Omit<ApiCall, 'path' | 'what' | 'timeoutMs'>,
  ) => {
    const path = `/apis/admissionregistration.k8s.io/v1/${resource}/${name}`;
    const what = `${verb} ${resource}/${name}`;
    return callApi<V1ValidatingWebhookConfiguration>(kubeConfig, { ...request, path, what, timeoutMs });
  };

  async function read(resource: Registration['resource']): Promise<Registration> {
    const found = await call('read', resource, { method: 'GET', except: [404] });
    if (found === undefined) return { resource, name, webhooks: undefined };
    return {
      resource,
      name,
      webhooks: (found.webhooks ?? []).map((webhook) => ({
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
      const published = webhooks.map((webhook) => ({ name: webhook.name, clientConfig: { caBundle } }));
      const body = { metadata: { resourceVersion }, webhooks: published };
      const type = PatchStrategy.StrategicMergePatch;
      const patched = await call('patch', resource, { method: 'PATCH', body, type, except: [404, 409] });
      return patched !== undefined;
    },
  };
}
