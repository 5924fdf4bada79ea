import type { KubeConfig, V1ObjectMeta } from '@kubernetes/client-node';
import { applyPolicy, withInstallation } from '../../rate/apply-policy.ts';
import { type LabelKeys, shapedLabel, shapedValue } from '../../rate/keys.ts';
import { isLimited } from '../../rate/limit.ts';
import { type InstallationPolicy, PolicyError, parsePolicy } from '../../rate/policy.ts';
import { type KeepTryingOptions, keepTrying } from '../keep-trying.ts';
import { listPodMetadata, unfinished } from '../pod-metadata.ts';
import type { PodSink } from './pod-sink.ts';
import { listPolicyNamespaces, type PolicyNamespace } from './policy-namespaces.ts';
import { seenPod } from './seen-pod.ts';

/** What is looked through. */
export interface PolicyPodsOptions extends KeepTryingOptions {
  readonly kubeConfig: KubeConfig;
  readonly keys: LabelKeys;
  readonly installation: InstallationPolicy;
  /** Namespaces that are left out. */
  readonly exceptNamespaces: readonly string[];
  readonly sink: Pick<PodSink, 'see' | 'retain'>;
  /** Between two looks, in ms. */
  readonly everyMs: number;
}

const listTimeoutMs = 10_000;
// Twenty namespaces a second: a small part of what an API server allows a client.
const gapMs = 50;

/**
 * Tells a sink of the pods without a rate label that have no stamp though their namespace's policy gives them a default, until the
 * signal is aborted. Such pods are looked for now and then: a watch would tell of every change of every pod without a label. Pods that
 * are older than the policy, in whole seconds, are left alone, because a policy that changes leaves running pods alone.
 */
export async function followPolicyPods(options: PolicyPodsOptions): Promise<void> {
  const { clock, everyMs, signal } = options;
  await keepTrying(options, async (worked) => {
    await look(options);
    worked();
    await clock.sleep(everyMs, signal);
  });
}

async function look(options: PolicyPodsOptions): Promise<void> {
  const { kubeConfig, keys, installation, exceptNamespaces, sink, clock, signal } = options;
  const labels = [`${shapedLabel}!=${shapedValue}`, ...Object.values(keys).map((key) => `!${key}`)];
  const selection = { labelSelector: labels.join(','), fieldSelector: unfinished };
  const uids = new Set<string>();
  for (const namespace of await listPolicyNamespaces(kubeConfig)) {
    if (signal.aborted) return;
    const { name, sinceMs } = namespace;
    if (exceptNamespaces.includes(name) || sinceMs === undefined || !givesDefault(namespace, installation)) continue;
    const onPod = (metadata: V1ObjectMeta) => {
      if ((metadata.creationTimestamp?.getTime() ?? 0) < sinceMs) return;
      uids.add(metadata.uid ?? '');
      sink.see(seenPod(metadata));
    };
    const what = `the pods of namespace ${name}`;
    await listPodMetadata({ kubeConfig, selection, what, namespace: name, timeoutMs: listTimeoutMs, onPod });
    await clock.sleep(gapMs, signal);
  }
  sink.retain(uids);
}

// A default that the installation has come to give leaves running pods alone as well, and nothing tells when it came.
function givesDefault({ labels }: PolicyNamespace, installation: InstallationPolicy): boolean {
  try {
    const policy = parsePolicy(labels, installation);
    if (policy === undefined) return false;
    const { limit } = applyPolicy({}, withInstallation(policy, { default: {}, max: {} }));
    return isLimited(limit);
  } catch (error) {
    if (error instanceof PolicyError) return false;
    throw error;
  }
}
