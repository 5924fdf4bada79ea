import type { Cluster } from '../../cluster/cluster.ts';
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

/** The webhook's rights for its certificates, each with what its log says without it. */
export const certificateRights = {
  [`get secrets in ${podrateNamespace}`]: 'Could not read Secret podrate-webhook-ca',
  [`create secrets in ${podrateNamespace}`]: 'Could not create Secret podrate-webhook-ca',
  [`patch secrets in ${podrateNamespace}`]: 'Could not create Secret podrate-webhook-ca',
  [`update secrets in ${podrateNamespace}`]: 'Could not update Secret podrate-webhook-ca',
  ...Object.fromEntries(
    ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'].flatMap((resource) => [
      [`get ${resource}.admissionregistration.k8s.io`, `Could not read ${resource}/podrate`],
      [`patch ${resource}.admissionregistration.k8s.io`, `Could not patch ${resource}/podrate`],
    ]),
  ),
};

/** Removes one of {@link certificateRights} from its role. Applying the manifests brings it back. */
export async function removeCertificateRight({ kubectl }: Cluster, right: string): Promise<void> {
  const [verb, what = '', , namespace] = right.split(' ');
  const role = ['role', 'podrate-webhook-certificates', '-n', podrateNamespace];
  if (namespace === undefined) role[0] = 'clusterrole';
  const found = JSON.parse((await kubectl(['get', ...role, '-o', 'json'])).stdout) as Item;
  const [resource = ''] = what.split('.');
  // A rule of its own for each resource, so that only one loses the verb.
  const rules = (found.rules ?? []).flatMap((rule) =>
    (rule.resources ?? []).map((each) => {
      const verbs = (rule.verbs ?? []).filter((one) => each !== resource || one !== verb);
      return { ...rule, resources: [each], verbs };
    }),
  );
  const changed = { ...found, rules: rules.filter(({ verbs }) => verbs.length > 0) };
  await kubectl(['replace', '-f', '-'], { input: JSON.stringify(changed) });
}

interface Item {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly { apiGroups?: string[]; resources?: string[]; verbs?: string[] }[];
  readonly subjects?: readonly { name: string; namespace?: string }[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
}
