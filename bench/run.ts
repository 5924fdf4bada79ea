import type { Figures } from './figures/definitions.ts';
import { figuresOf } from './figures/figures.ts';
import type { WireSample } from './figures/recording.ts';
import { runMany } from './many.ts';
import { mixtureFigures } from './mixture/figures.ts';
import { runMixture } from './mixture/run.ts';
import { allPeers } from './peers/all.ts';
import { type Run, trafficSeconds } from './plan.ts';
import type { Testbed } from './testbed/testbed.ts';
import { runTraffic } from './testbed/traffic.ts';

/** The result of one run: its figures, and for traffic the bytes over time, for pictures. */
export interface RunOutcome {
  readonly figures: Figures;
  readonly startUs?: number;
  readonly wire?: readonly WireSample[];
}

/** Carries out one run. */
export async function doRun(bed: Testbed, run: Run, quick: boolean): Promise<RunOutcome> {
  const { scenario } = run;
  const peer = allPeers[run.peer];
  const seconds = trafficSeconds(run, quick);
  if (scenario.kind === 'many') return { figures: await runMany(bed, scenario, peer) };
  if (scenario.kind === 'mixture') {
    return { figures: mixtureFigures(await runMixture(bed, scenario, peer, seconds), scenario) };
  }
  const recording = await runTraffic(bed, scenario, peer, seconds);
  return { figures: figuresOf(recording, scenario), startUs: recording.startUs, wire: recording.wire };
}
