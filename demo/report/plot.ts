import { parse, View } from 'vega';
import { compile } from 'vega-lite';

/** One line of the plot: a pod in one panel, with the limit that was in force at each moment. */
export interface Curve {
  readonly panel: string;
  readonly pod: string;
  /** `seconds` counted from the panel's start; rates in bytes per second. */
  readonly points: readonly { readonly seconds: number; readonly bytesPerSecond: number; readonly limit: number }[];
}

/** Draws throughput over time, one panel under the other, limits dashed, as an SVG document. */
export async function plotThroughput(title: string, curves: readonly Curve[]): Promise<string> {
  const values = curves.flatMap(({ panel, pod, points }) =>
    points.map((point) => ({
      panel,
      pod,
      seconds: point.seconds,
      measured: point.bytesPerSecond / 1e6,
      limit: point.limit / 1e6,
    })),
  );
  const { spec } = compile({
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: { text: title, fontSize: 16, anchor: 'start', offset: 12 },
    background: 'white',
    padding: 16,
    data: { values },
    facet: {
      row: {
        field: 'panel',
        type: 'nominal',
        title: null,
        sort: [...new Set(curves.map(({ panel }) => panel))],
        header: { labelFontSize: 13, labelAnchor: 'start', labelOrient: 'top' },
      },
    },
    spec: {
      width: 720,
      height: 190,
      encoding: {
        x: { field: 'seconds', type: 'quantitative', title: 'seconds', scale: { zero: true } },
        color: { field: 'pod', type: 'nominal', title: 'pod', sort: null },
      },
      layer: [
        {
          // A point is its window's end: a limit that changed within the window is not drawn before it did.
          mark: { type: 'line', strokeDash: [5, 4], strokeWidth: 1.5, opacity: 0.7, interpolate: 'step-after' },
          encoding: { y: { field: 'limit', type: 'quantitative' } },
        },
        {
          mark: { type: 'line', strokeWidth: 2 },
          encoding: { y: { field: 'measured', type: 'quantitative', title: 'MB/s (dashed: the limit)' } },
        },
      ],
    },
    resolve: { scale: { x: 'independent' } },
    config: { font: 'sans-serif', axis: { labelFontSize: 11, titleFontSize: 12 } },
  });
  return await new View(parse(spec), { renderer: 'none' }).toSVG();
}
