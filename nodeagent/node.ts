/** Puts the parts together that both the agent and the command line tool work with. */
import { type Bpftool, createBpftool } from './bpftool.ts';
import { type Cgroups, createCgroups } from './cgroups.ts';
import type { ShaperConfig } from './config.ts';
import { type Facts, gatherFacts, resolveRoot } from './facts.ts';
import { unboundLockedMemory } from './locked-memory.ts';
import { createMarkFilters } from './mark-filters.ts';
import { createMarker, type Marker, markObject } from './marker.ts';
import { createPins, type Pins } from './pins.ts';
import { type Check, preflight } from './preflight.ts';
import { createShaper, type Shaper } from './shaper.ts';

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
}

/** bpftool may take long on a machine that is short of processors; longer than this it hangs. */
const bpftoolTimeoutMs = 60_000;

/**
 * Gathers the facts about this machine, once this process's own bound of locked memory is lifted.
 * @param tryLoad whether to try the real programs
 */
export async function factsOf(config: ShaperConfig, tryLoad: boolean): Promise<Facts> {
  await unboundLockedMemory();
  const { bpftool, pins, marker } = toolsOf(config);
  const { pinDir: pinDirectory, bpfObject: objectFile, cgroupRoot } = config;
  return gatherFacts({ bpftool, pins, marker, pinDirectory, objectFile, cgroupRoot, tryLoad });
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
  const { bpftool, pins, marker } = toolsOf(config);
  return {
    cgroupMount,
    marker,
    cgroups: createCgroups({ root: resolveRoot(config.cgroupRoot, cgroupMount), mount: cgroupMount }),
    shaper: createShaper({
      bpftool,
      pins,
      cgroupMount,
      objectFile: config.bpfObject,
      releaseCgroup: config.releaseCgroup ?? cgroupMount,
      exempt: config.exempt,
    }),
  };
}

function toolsOf(config: ShaperConfig): { bpftool: Bpftool; pins: Pins; marker: Marker } {
  const bpftool = createBpftool({ file: config.bpftool, timeoutMs: bpftoolTimeoutMs });
  const [objectFile, directory] = [markObject(config.bpfObject), config.pinDir];
  const marker = createMarker({ bpftool, filters: createMarkFilters(), objectFile, pinDirectory: directory });
  return { bpftool, pins: createPins({ directory, bpftool }), marker };
}
