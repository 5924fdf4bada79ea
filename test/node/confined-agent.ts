import type { Cluster } from '../cluster/cluster.ts';

/** Names a pod in podrate's namespace. */
const pod = ['-n', 'podrate-system', 'pod/confined-agent'];

/**
 * Runs one agent of the shipped DaemonSet, but under the AppArmor profile that the container runtime gives by default,
 * until it ends; then deletes it.
 *
 * @returns The entries of its log.
 */
export async function runConfinedAgent(cluster: Cluster): Promise<Record<string, unknown>[]> {
  const shipped = ['-n', 'podrate-system', 'get', 'daemonset', 'podrate-agent', '-o', 'json'];
  const { spec } = JSON.parse((await cluster.kubectl(shipped)).stdout).spec.template;
  const [{ ports, readinessProbe, startupProbe, livenessProbe, ...container }] = spec.containers;
  container.securityContext.appArmorProfile = { type: 'RuntimeDefault' };
  const manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'podrate-system', name: 'confined-agent' },
    spec: { ...spec, restartPolicy: 'Never', containers: [container] },
  };
  await cluster.kubectl(['create', '-f', '-'], { input: JSON.stringify(manifest) });
  await cluster.kubectl(['wait', ...pod, '--for=jsonpath={.status.phase}=Failed', '--timeout=300s']);
  const { stdout } = await cluster.kubectl(['logs', ...pod]);
  await cluster.kubectl(['delete', ...pod]);
  return stdout.split('\n').map((line) => JSON.parse(line));
}
