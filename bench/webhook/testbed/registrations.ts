import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import { podrateNamespace } from '../../../test/controlplane/harness/installation.ts';
import { takerLabel } from '../variants.ts';

interface Registration {
  readonly webhooks: readonly Hook[];
}
interface Hook {
  readonly clientConfig: object;
  readonly namespaceSelector?: { readonly matchExpressions: readonly object[] };
}

const shipped = new URL('../../../manifests/webhook-configuration.yaml', import.meta.url);

/**
 * podrate's shipped registrations, for the namespaces that are podrate's here. What fails is refused, as with the
 * component `strict`: a call that timed out would otherwise look like a fast admission.
 */
export async function podrateRegistrations(caBundle: string): Promise<object[]> {
  const documents = parseAllDocuments(await readFile(shipped, 'utf8'), { merge: true }).map((document) =>
    document.toJS(),
  );
  return documents.map((registration: Registration) => ({
    ...registration,
    webhooks: registration.webhooks.map((hook) => ({
      ...hook,
      failurePolicy: 'Fail',
      clientConfig: { ...hook.clientConfig, caBundle },
      ...(hook.namespaceSelector && {
        namespaceSelector: {
          matchExpressions: [...hook.namespaceSelector.matchExpressions, takenBy('podrate')],
        },
      }),
    })),
  }));
}

/** The peer's: one mutation as podrate's, and one validation of each pod in the namespaces where it validates. */
export function peerRegistrations(service: string, caBundle: string): object[] {
  const hook = (path: string, ...takers: string[]) => ({
    name: `${path.slice(1)}.peer.podrate.dev`,
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Fail',
    // As podrate's.
    timeoutSeconds: path === '/validate' ? 10 : 5,
    clientConfig: { service: { namespace: podrateNamespace, name: service, path, port: 443 }, caBundle },
    namespaceSelector: { matchExpressions: [takenBy(...takers)] },
    rules: [
      {
        apiGroups: [''],
        apiVersions: ['v1'],
        resources: ['pods'],
        operations: ['CREATE', 'UPDATE'],
        scope: 'Namespaced',
      },
    ],
  });
  const registration = (kind: string, webhook: object) => ({
    ...{ apiVersion: 'admissionregistration.k8s.io/v1', kind, metadata: { name: 'peer' }, webhooks: [webhook] },
  });
  return [
    registration('MutatingWebhookConfiguration', hook('/mutate', 'peer', 'peer-mutate')),
    registration('ValidatingWebhookConfiguration', hook('/validate', 'peer')),
  ];
}

const takenBy = (...values: string[]) => ({ key: takerLabel, operator: 'In', values });
