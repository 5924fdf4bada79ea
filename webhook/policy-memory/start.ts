import type { KubeConfig } from '@kubernetes/client-node';
import { Counter, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import { readNamespaces } from '../namespaces.ts';
import { grantLifeMs } from '../quota/sightings.ts';
import { changeStore } from './change-store.ts';
import { createPolicyMemory, type PolicyMemory } from './memory.ts';

/** What a memory on a cluster is started with. */
export interface PolicyMemoryOptions {
  readonly kubeConfig: KubeConfig;
  /** podrate's own namespace, where changes are announced. */
  readonly home: string;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

/** Starts a memory of the namespaces of a cluster. It can be asked at once. */
export function startPolicyMemory({ kubeConfig, home, registry, clock, onError }: PolicyMemoryOptions): PolicyMemory {
  const reads = new Counter({
    name: 'podrate_namespace_reads_total',
    help: 'Namespaces that admissions needed, by where they came from: memory, or the API server (api).',
    labelNames: ['from'],
    registers: [registry],
  });
  return createPolicyMemory({
    read: readNamespaces(kubeConfig),
    store: changeStore(kubeConfig, home),
    clock,
    limits: {
      leaseMs: 500,
      // As long as a grant of a quota can, and for the same reason.
      effectMs: grantLifeMs,
      keepMs: 10_000,
      most: 5_000,
      // With the wait after it, less than the 5 s of API servers.
      patienceMs: 2_000,
    },
    onRead: (from) => reads.inc({ from }),
    onError,
  });
}
