import type { KubeConfig } from '@kubernetes/client-node';
import { Counter, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import { readNamespaces } from '../namespaces.ts';
import { changeStore } from './change-store.ts';
import { createPolicyMemory, type PolicyMemory } from './memory.ts';

/** What a memory on a cluster is started with. */
export interface PolicyMemoryOptions {
  readonly kubeConfig: KubeConfig;
  /** podrate's own namespace, where changes are announced. */
  readonly home: string;
  readonly registry: Registry;
  readonly clock: Clock;
  /** How long an admitted change of a policy can take effect, in ms. */
  readonly effectMs: number;
  readonly onError: (error: unknown) => void;
}

/** Starts a memory of the namespaces of a cluster. It can be asked at once. */
export function startPolicyMemory(options: PolicyMemoryOptions): PolicyMemory {
  const { kubeConfig, home, registry, clock, effectMs, onError } = options;
  const reads = new Counter({
    name: 'podrate_namespace_reads_total',
    help: 'Namespaces that admissions needed, by what they came from: memory, or an answer of the API server that was waited for (api).',
    labelNames: ['from'],
    registers: [registry],
  });
  return createPolicyMemory({
    read: readNamespaces(kubeConfig),
    store: changeStore(kubeConfig, home),
    clock,
    limits: {
      leaseMs: 1_000,
      effectMs,
      keepMs: 10_000,
      most: 5_000,
      patienceMs: 2_000,
    },
    onRead: (from) => reads.inc({ from }),
    onError,
  });
}
