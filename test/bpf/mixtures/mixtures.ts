/** The benchmark's mixtures of traffic (bench/mixture/) as tests: the same programs, some seconds each, with wide bounds. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { Figures } from '../../../bench/figures/definitions.ts';
import { mixtureFigures } from '../../../bench/mixture/figures.ts';
import { runMixture } from '../../../bench/mixture/run.ts';
import { podrate } from '../../../bench/peers/podrate.ts';
import type { MixtureScenario } from '../../../bench/scenario.ts';
import { buildBenchPrograms } from '../../../bench/testbed/programs.ts';
import { openTestbed, type Testbed } from '../../../bench/testbed/testbed.ts';
import { defaultCache } from '../../cluster/build/config.ts';

const SECONDS = 4;

/** The testbed of a file of tests, and what runs in it. */
export interface Mixtures {
  bed(): Testbed;
  /** Runs a mixture with podrate's limit and returns its figures. */
  run(scenario: MixtureScenario, seconds?: number): Promise<Figures>;
}

/** Opens the benchmark's testbed for the tests of a file, and closes it after them. */
export function useMixtures(): Mixtures {
  let bed: Testbed;
  beforeAll(async () => {
    const context = { step: 'bench', log: join(tmpdir(), 'podrate-mixtures-test.log') };
    bed = await openTestbed('podrate-mixtures', await buildBenchPrograms(defaultCache(), context));
  });
  afterAll(async () => {
    await bed?.close();
    await bed?.programs.close();
  });
  return {
    bed: () => bed,
    run: async (scenario, seconds = SECONDS) =>
      mixtureFigures(await runMixture(bed, scenario, podrate, seconds), scenario),
  };
}
