import { median } from '../statistics.ts';
import { definitions, type FigureName, type Figures } from './definitions.ts';
import type { VariantName } from './variants.ts';

/** The figures of one run. */
export interface RunResult {
  readonly scenario: string;
  readonly variant: VariantName;
  readonly round: number;
  readonly figures: Figures;
  /** Why requests failed, and how many each time. */
  readonly failures: Readonly<Record<string, number>>;
}

/** One scenario: the median of each figure over its runs, for each variant that ran; of failures the sum. */
export interface ScenarioResult {
  readonly scenario: string;
  readonly variants: Readonly<Partial<Record<VariantName, Figures>>>;
}

/** Takes the medians, scenario by scenario in the order of the names. */
export function summarizeRuns(scenarios: readonly string[], runs: readonly RunResult[]): ScenarioResult[] {
  return scenarios.flatMap((scenario) => {
    const own = runs.filter((run) => run.scenario === scenario);
    const names = [...new Set(own.map(({ variant }) => variant))].sort();
    const variants = names.map((name) => [
      name,
      combined(own.filter(({ variant }) => variant === name).map(({ figures }) => figures)),
    ]);
    return own.length === 0 ? [] : [{ scenario, variants: Object.fromEntries(variants) }];
  });
}

function combined(list: readonly Figures[]): Figures {
  const names = (Object.keys(definitions) as FigureName[]).filter((name) => list.some((figures) => name in figures));
  const values = (name: FigureName) => list.flatMap((figures) => (figures[name] === undefined ? [] : [figures[name]]));
  const one = (name: FigureName) =>
    name === 'failed' ? values(name).reduce((sum, value) => sum + value, 0) : median(values(name));
  return Object.fromEntries(names.map((name) => [name, one(name)]));
}
