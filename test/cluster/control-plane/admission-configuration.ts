import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Prepares an API server that allows pods of some priority classes only in namespaces with a ResourceQuota for the
 * class, as GKE does with `system-node-critical` and `system-cluster-critical`.
 *
 * @param directory Of the run.
 * @returns The API server's arguments.
 */
export async function limitPriorityClasses(directory: string, names: readonly string[]): Promise<string[]> {
  const file = join(directory, 'admission-configuration.json');
  const ofClasses = { scopeName: 'PriorityClass', operator: 'In', values: names };
  const configuration = {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'ResourceQuotaConfiguration',
    limitedResources: [{ resource: 'pods', matchScopes: [ofClasses] }],
  };
  await writeFile(
    file,
    JSON.stringify({
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'AdmissionConfiguration',
      plugins: [{ name: 'ResourceQuota', configuration }],
    }),
  );
  return [`--admission-control-config-file=${file}`];
}
