import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A request about a pod as an API server's audit log has it, as far as it matters here. */
export interface AuditedRequest {
  readonly verb: string;
  readonly namespace: string;
  readonly name: string;
  /** What admission noted about it. */
  readonly annotations: Readonly<Record<string, string>>;
}

const pods = { group: '', resources: ['pods'] };
const policy = {
  ...{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'] },
  rules: [{ level: 'Metadata', verbs: ['create', 'update', 'patch'], resources: [pods] }, { level: 'None' }],
};

const logIn = (logs: string) => join(logs, 'audit.log');

/**
 * Prepares an API server to record who writes pods.
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
    const { verb, objectRef = {}, annotations = {} } = JSON.parse(line);
    const { namespace = '', name = '' } = objectRef;
    return { verb, namespace, name, annotations };
  });
}
