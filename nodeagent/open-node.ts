/** Puts the parts together that both the agent and the command line tool work with. */
import { type Cgroups, createCgroups } from './cgroup/tree.ts';
import type { ShaperConfig } from './config.ts';
import { createMarker, type Marker, markObject } from './dscp/marker.ts';
import { unboundLockedMemory } from './libbpf/locked-memory.ts';
import { type Check, preflight } from './preflight/checks.ts';
import { type Facts, gatherFacts, resolveRoot } from './preflight/facts.ts';
import { createShaper, type Shaper } from './shaper/shaper.ts';

/** Something that limits cannot be enforced without is missing. The message names it and says what to do. */
export class PreflightError extends Error {
  override readonly name = 'PreflightError';
  readonly code = 'preflight/failed';
  readonly checks: readonly Check[];

  constructor(checks: readonly Check[]) {
    const failed = checks.filter(({ result }) => result === 'failed');
    super(failed.map(({ found, remedy }) => `${found}: ${remedy}`).join('\n'));
    this.checks = checks;
  }
}

/** The parts. */
export interface Node {
  readonly shaper: Shaper;
  readonly marker: Marker;
  readonly cgroups: Cgroups;
  readonly cgroupMount: string;
  /** Whether network namespaces can be entered, for marks and for connections that are older than a limit. */
  readonly canEnterNamespaces: boolean;
}

/**
 * Gathers the facts about this machine, once this process's own bound of locked memory is lifted.
 * @param tryLoad whether to try the real programs
 */
export async function factsOf(config: ShaperConfig, tryLoad: boolean): Promise<Facts> {
  unboundLockedMemory();
  const marker = createMarker(markObject(config.bpfObject));
  const { pinDir: pinDirectory, bpfObject: objectFile, cgroupRoot } = config;
  return gatherFacts({ marker, pinDirectory, objectFile, cgroupRoot, tryLoad });
}

/**
 * Builds the parts. Nothing stays changed in the kernel but this process's own bound of locked memory.
 * @throws PreflightError if something is missing
 */
export async function openNode(config: ShaperConfig): Promise<Node> {
  // The programs are not tried: they are loaded next anyway, or are in force already.
  const facts = await factsOf(config, false);
  const checks = preflight(facts);
  const { cgroupMount } = facts;
  if (cgroupMount === undefined || checks.some(({ result }) => result === 'failed')) throw new PreflightError(checks);
  return {
    cgroupMount,
    canEnterNamespaces: facts.canEnterNamespaces,
    marker: createMarker(markObject(config.bpfObject)),
    cgroups: createCgroups({ root: resolveRoot(config.cgroupRoot, cgroupMount), mount: cgroupMount }),
    shaper: createShaper({
      pinDirectory: config.pinDir,
      cgroupMount,
      objectFile: config.bpfObject,
      releaseCgroup: config.releaseCgroup ?? cgroupMount,
      exempt: config.exempt,
    }),
  };
}
