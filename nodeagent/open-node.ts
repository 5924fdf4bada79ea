/** Puts the parts together that both the agent and the command line tool work with. */
import { createCgroups } from './cgroup/tree.ts';
import type { ShaperConfig } from './config.ts';
import { createMarker } from './dscp/marker.ts';
import { type Check, preflight } from './preflight/checks.ts';
import { type Facts, gatherFacts } from './preflight/facts.ts';
import { createShaper } from './shaper/shaper.ts';

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
export type Node = Awaited<ReturnType<typeof openNode>>;

/** Gathers the facts about this machine. @param tryLoad whether to try the real programs */
export async function factsOf(config: ShaperConfig, tryLoad: boolean): Promise<Facts> {
  const { pinDir: pinDirectory, bpfObject: objectFile, cgroupRoot } = config;
  return gatherFacts({ marker: createMarker(objectFile), pinDirectory, objectFile, cgroupRoot, tryLoad });
}

/** Builds the parts. @throws PreflightError if something is missing */
export async function openNode({ exempt, ...config }: ShaperConfig) {
  // The programs are not tried: they are loaded next anyway, or are in force already.
  const facts = await factsOf(config, false);
  const checks = preflight(facts);
  const { cgroupMount, cgroupRoot = '', canEnterNamespaces } = facts;
  if (cgroupMount === undefined || checks.some(({ result }) => result === 'failed')) throw new PreflightError(checks);
  const { pinDir: pinDirectory, bpfObject: objectFile, releaseCgroup = cgroupMount } = config;
  return {
    cgroupMount,
    /** Whether network namespaces can be entered, for marks and for connections that are older than a limit. */
    canEnterNamespaces,
    marker: createMarker(objectFile),
    cgroups: createCgroups({ root: cgroupRoot, mount: cgroupMount }),
    shaper: createShaper({ pinDirectory, cgroupMount, objectFile, releaseCgroup, exempt }),
  };
}
