import { type KubeConfig, PatchStrategy, type V1Secret } from '@kubernetes/client-node';
import { type ApiCall, callApi } from '../kube/call.ts';
import type { SharedAuthority } from './plan.ts';

/** One version of the Secret, with what is needed to replace exactly this version. */
export interface StoredAuthority extends SharedAuthority {
  readonly secret: V1Secret;
}

/** The Secret that the replicas share. Methods throw ApiFailure. */
export interface AuthoritySecret {
  /** Reads the Secret; undefined if it does not exist. */
  read(): Promise<StoredAuthority | undefined>;
  /** Replaces a version, or creates the Secret. @returns false if another writer was first */
  write(authority: SharedAuthority, replaced: StoredAuthority | undefined): Promise<boolean>;
}

const timeoutMs = 10_000;
const formerUntilAnnotation = 'podrate.dev/former-trusted-until';
const fieldManager = 'podrate-webhook';

/** Gives access to the Secret of a name in a namespace. */
export function authoritySecret(kubeConfig: KubeConfig, namespace: string, name: string): AuthoritySecret {
  const path = `/api/v1/namespaces/${namespace}/secrets/${name}`;
  const query = { fieldManager };
  const call = (verb: string, request: Omit<ApiCall, 'path' | 'what' | 'timeoutMs'>) => {
    const what = `${verb} Secret ${name} in namespace ${namespace}`;
    return callApi<V1Secret>(kubeConfig, { ...request, path, what, timeoutMs });
  };

  // RBAC knows no name when an object is created by POST. A server-side apply names it, so the role can be limited to
  // this Secret. It creates an empty one and changes nothing of one that exists.
  const create = () => {
    const metadata = { name, namespace, labels: { 'app.kubernetes.io/name': 'podrate' } };
    const body = { apiVersion: 'v1', kind: 'Secret', type: 'Opaque', metadata };
    return call('create', { method: 'PATCH', query, body, type: PatchStrategy.ServerSideApply, except: [409] });
  };

  return {
    async read() {
      const secret = await call('read', { method: 'GET', except: [404] });
      return secret && decode(secret);
    },

    async write(authority, replaced) {
      const present = replaced?.secret ?? (await create());
      if (present === undefined || (replaced === undefined && present.data !== undefined)) return false;
      const body = encode(authority, present);
      // 404: deleted since it was read.
      return (await call('update', { method: 'PUT', query, body, except: [404, 409] })) !== undefined;
    },
  };
}

function decode(secret: V1Secret): StoredAuthority {
  const text = (key: string) => Buffer.from(secret.data?.[key] ?? '', 'base64').toString();
  const until = new Date(secret.metadata?.annotations?.[formerUntilAnnotation] ?? '');
  return {
    pair: { certificate: text('tls.crt'), key: text('tls.key') },
    trust: { bundle: text('ca.crt'), formerUntil: Number.isNaN(until.getTime()) ? undefined : until },
    secret,
  };
}

/** Keeps whatever else the Secret holds. */
function encode({ pair, trust }: SharedAuthority, secret: V1Secret): V1Secret {
  const { [formerUntilAnnotation]: _, ...annotations } = secret.metadata?.annotations ?? {};
  if (trust.formerUntil !== undefined) annotations[formerUntilAnnotation] = trust.formerUntil.toISOString();
  const texts = { 'tls.crt': pair.certificate, 'tls.key': pair.key, 'ca.crt': trust.bundle };
  const data = Object.entries(texts).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  return {
    ...secret,
    metadata: { ...secret.metadata, annotations },
    data: { ...secret.data, ...Object.fromEntries(data) },
  };
}
