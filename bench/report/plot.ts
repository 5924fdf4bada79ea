import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { FigureName } from '../figures/definitions.ts';
import type { ScenarioResult } from '../figures/results.ts';
import { allPeers } from '../peers/all.ts';
import { rateName } from '../scenarios/names.ts';
import type { Curve } from './curves.ts';

const config = { font: 'sans-serif', axis: { labelFontSize: 11, titleFontSize: 12 } };
const peerColor = {
  field: 'peer',
  type: 'nominal',
  title: null,
  scale: {
    domain: Object.keys(allPeers),
    range: ['#1a7f37', '#d1242f', '#bc4c00', '#8250df', '#9a6700', '#0969da', '#8c959f'],
  },
} as const;

/** Curves higher than this many times the limit are cut: some peers know no limit for seconds. */
const HIGHEST = 2.5;

/** The thesis's figures: throughput over time, one panel for each rate, everybody in one picture. */
export function plotCurves(title: string, curves: readonly Curve[]): Promise<string> {
  const rates = [...new Set(curves.map(({ rate }) => rate))].sort((one, other) => one - other);
  const shown = new Set(curves.map(({ peer }) => peer));
  const panel = (rate: number) => ({
    width: 720,
    height: 170,
    title: { text: `limit ${rateName(rate)}`, anchor: 'start', fontSize: 12 } as const,
    data: {
      values: curves
        .filter((curve) => curve.rate === rate)
        .toSorted(podrateLast)
        .flatMap(({ peer, points }) => points.map((point) => ({ peer, seconds: point.seconds, mb: point.rate / 1e6 }))),
    },
    layer: [
      { mark: { type: 'rule', strokeDash: [5, 4], color: '#24292f' }, encoding: { y: { datum: rate / 1e6 } } },
      {
        mark: { type: 'line', clip: true },
        encoding: {
          x: { field: 'seconds', type: 'quantitative', title: 'seconds', scale: { nice: false, zero: true } },
          y: { field: 'mb', type: 'quantitative', title: 'MB/s', scale: { domain: [0, (HIGHEST * rate) / 1e6] } },
          color: { ...peerColor, scale: colorsOf(shown) },
          strokeWidth: { condition: { test: "datum.peer === 'podrate'", value: 2.8 }, value: 1.4 },
        },
      },
    ],
  });
  return draw({
    title: {
      text: title,
      subtitle: `IP bytes in windows of 100 ms; dashed: the limit; above ${HIGHEST} × the limit cut off`,
      ...titleStyle,
    },
    ...frame,
    vconcat: rates.map(panel),
  } as TopLevelSpec);
}

/** One figure of all scenarios that have it: a dot for each peer. */
export function plotFigure(
  title: string,
  subtitle: string,
  results: readonly ScenarioResult[],
  figure: FigureName,
  { logarithmic = false, least = 0 }: { logarithmic?: boolean; least?: number } = {},
): Promise<string> {
  const values = results.flatMap(({ scenario, peers }) =>
    Object.entries(peers).flatMap(([peer, figures]) => {
      const value = figures[figure];
      const usable = value !== undefined && Number.isFinite(value) && peer !== 'none';
      return usable ? [{ scenario: scenario.name, peer, value: Math.max(value, least) }] : [];
    }),
  );
  const shown = new Set(values.map(({ peer }) => peer));
  const order = [...new Set(values.map(({ scenario }) => scenario))];
  return draw({
    title: { text: title, subtitle, ...titleStyle },
    ...frame,
    data: { values: values.toSorted(podrateLast) },
    width: 560,
    height: { step: 17 },
    mark: { type: 'point', filled: true, size: 70, opacity: 0.85 },
    encoding: {
      y: { field: 'scenario', type: 'nominal', sort: order, title: null, axis: { grid: true, labelLimit: 0 } },
      x: { field: 'value', type: 'quantitative', title: null, scale: logarithmic ? { type: 'log' } : { zero: false } },
      color: { ...peerColor, scale: colorsOf(shown) },
    },
  } as TopLevelSpec);
}

const titleStyle = { fontSize: 15, anchor: 'start', offset: 10, subtitleColor: '#57606a' } as const;
const frame = { background: 'white', padding: 14, config };

/** What is drawn last lies on top. */
const podrateLast = (one: { peer: string }, other: { peer: string }) =>
  Number(one.peer === 'podrate') - Number(other.peer === 'podrate');

/** Each peer has its colour in every picture; the legend shows only those in it. */
function colorsOf(shown: ReadonlySet<string>) {
  const { domain, range } = peerColor.scale;
  const kept = domain.map((peer, index) => ({ peer, color: range[index] })).filter(({ peer }) => shown.has(peer));
  return { domain: kept.map(({ peer }) => peer), range: kept.map(({ color }) => color) };
}

async function draw(spec: TopLevelSpec): Promise<string> {
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG();
}
