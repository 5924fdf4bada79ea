import type { FigureName, Figures } from '../figures/definitions.ts';
import type { ScenarioResult } from '../figures/results.ts';
import type { Scenario } from '../scenario.ts';

/** A promise of the benchmark: which figure of which scenarios is within which bounds. */
export interface Bar {
  readonly what: string;
  /** Whose figure it is. */
  readonly peer: 'podrate' | 'podrate-policed';
  readonly applies: (scenario: Scenario) => boolean;
  readonly figure: FigureName;
  /**
   * Returns the bounds for the figure, from the peer's own other figures, the other peers' and those of other scenarios; undefined when
   * it cannot be judged.
   */
  readonly bounds: (result: ScenarioResult, own: Figures, all: readonly ScenarioResult[]) => Bounds | undefined;
}

/** Both ends count as inside. */
export interface Bounds {
  readonly least?: number;
  readonly most?: number;
}

/** A bar held against one scenario. */
export interface Judgement {
  readonly bar: string;
  readonly scenario: string;
  readonly figure: FigureName;
  readonly value: number;
  readonly bounds: Bounds;
  /** How far outside, in the figure's own unit; 0 when met. */
  readonly missedBy: number;
}

/** Judges medians by all bars. A figure that was not measured is not judged; one that is no number is missed. */
export function judge(bars: readonly Bar[], results: readonly ScenarioResult[]): Judgement[] {
  return bars.flatMap((bar) =>
    results.flatMap((result) => {
      const own = result.peers[bar.peer];
      const value = own?.[bar.figure];
      if (own === undefined || value === undefined || !bar.applies(result.scenario)) return [];
      const bounds = bar.bounds(result, own, results);
      if (bounds === undefined) return [];
      const judgement = { bar: bar.what, scenario: result.scenario.name, figure: bar.figure, value, bounds };
      return [{ ...judgement, missedBy: outside(value, bounds) }];
    }),
  );
}

/** How far a value is outside of bounds; 0 inside, infinite when it or a bound is no number. */
export function outside(value: number, { least = -Infinity, most = Infinity }: Bounds): number {
  const distance = Math.max(0, least - value, value - most);
  return Number.isNaN(distance) ? Infinity : distance;
}
