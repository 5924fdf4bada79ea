import type { Cluster } from '../cluster/cluster.ts';
import { podrateNamespace } from './installation.ts';

/** The rights of a service account by its roles, each as `VERB RESOURCE.GROUP`, and ` in NAMESPACE` where it ends there. */
export async function grantedRights({ kubectl }: Cluster, account: string): Promise<string[]> {
  const get = async (kind: string) =>
    JSON.parse((await kubectl(['get', kind, '--all-namespaces', '-o', 'json'])).stdout).items as Item[];
  const [roles, bindings] = await Promise.all([get('role,clusterrole'), get('rolebinding,clusterrolebinding')]);
  const own = bindings.filter(({ subjects }) =>
    subjects?.some(({ name, namespace }) => name === account && namespace === podrateNamespace),
  );
  return own.flatMap(({ roleRef, metadata: { namespace } }) => {
    const role = roles.find(
      ({ kind, metadata }) =>
        kind === roleRef?.kind &&
        metadata.name === roleRef.name &&
        (kind === 'ClusterRole' || metadata.namespace === namespace),
    );
    const rules = role?.rules ?? [];
    return rules.flatMap(({ apiGroups = [], resources = [], verbs = [] }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => {
          const what = group === '' ? resource : `${resource}.${group}`;
          return verbs.map((verb) => `${verb} ${what}${namespace === undefined ? '' : ` in ${namespace}`}`);
        }),
      ),
    );
  });
}

interface Item {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly { apiGroups?: string[]; resources?: string[]; verbs?: string[] }[];
  readonly subjects?: readonly { name: string; namespace?: string }[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
}
