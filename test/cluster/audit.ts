import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A request to the API server by a service account, as far as it matters for rights. */
export interface AuditedRequest {
  /** `system:serviceaccount:NAMESPACE:NAME`. */
  readonly user: string;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  /** Undefined where the request is about the whole cluster. */
  readonly namespace: string | undefined;
  /** The HTTP status of the answer. */
  readonly code: number;
}

/** Of the service accounts, those of Kubernetes' own controllers left out. */
const policy = {
  ...{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'] },
  rules: [
    { level: 'None', userGroups: ['system:serviceaccounts:kube-system'] },
    { level: 'Metadata', userGroups: ['system:serviceaccounts'] },
    { level: 'None' },
  ],
};

const logIn = (logs: string) => join(logs, 'audit.log');

/**
 * Prepares an API server to record the requests of service accounts.
 * @param directory of the run
 * @returns the API server's arguments
 */
export async function auditArguments(directory: string, logs: string): Promise<string[]> {
  const file = join(directory, 'audit-policy.json');
  await writeFile(file, JSON.stringify(policy));
  return [`--audit-policy-file=${file}`, `--audit-log-path=${logIn(logs)}`];
}

/** Reads what was recorded. */
export async function auditedRequests({ logs }: { readonly logs: string }): Promise<AuditedRequest[]> {
  const lines = (await readFile(logIn(logs), 'utf8')).split('\n').filter((line) => line.endsWith('}'));
  return lines.map((line) => {
    const { user, verb, objectRef = {}, responseStatus = {} } = JSON.parse(line);
    const { apiGroup: group = '', resource = '', namespace } = objectRef;
    return { user: user.username, verb, group, resource, namespace, code: responseStatus.code ?? 0 };
  });
}
