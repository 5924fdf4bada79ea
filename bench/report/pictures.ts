import type { Curve } from './curves.ts';
import { plotCurves, plotFigure } from './plot.ts';
import type { Report } from './report.ts';

/** A plot of the report. */
export interface Picture {
  /** For file names. */
  readonly name: string;
  readonly svg: string;
}

/** Draws all plots; one that has nothing to show is left out. */
export async function drawPictures({ medians }: Report, curves: readonly Curve[]): Promise<Picture[]> {
  const traffic = medians.filter(({ scenario }) => scenario.kind === 'traffic');
  const steady = traffic.filter(({ scenario }) => scenario.kind === 'traffic' && !scenario.pauses && !scenario.changes);
  const crowds = steady.filter(({ scenario }) => scenario.kind === 'traffic' && scenario.flows > 1);
  const picture = async (name: string, svg: Promise<string>): Promise<Picture> => ({ name, svg: await svg });
  return Promise.all([
    ...(curves.length === 0
      ? []
      : [
          picture(
            'throughput',
            plotCurves('One flow at 1, 5 and 10 MB/s: podrate, the thesis, the CNI plugin', curves),
          ),
        ]),
    ...(traffic.length === 0
      ? []
      : [
          picture(
            'ping',
            plotFigure('Ping of the limited pod under load', 'p50, ms; less is better', traffic, 'ping', {
              logarithmic: true,
              least: 0.01,
            }),
          ),
          picture(
            'limit',
            plotFigure('How well the limit holds', 'IP bytes / limit, logarithmic', steady, 'ip', {
              logarithmic: true,
              least: 0.01,
            }),
          ),
          picture(
            'deviation',
            plotFigure(
              'How even it flows',
              'standard deviation of 100 ms windows / limit; less is better (below 0.001 drawn as that)',
              steady,
              'deviation',
              { logarithmic: true, least: 0.001 },
            ),
          ),
          picture(
            'resent',
            plotFigure('What is sent in vain', 'retransmitted bytes, % (below 0.001 drawn as that)', steady, 'resent', {
              logarithmic: true,
              least: 0.001,
            }),
          ),
          picture('fairness', plotFigure('How fairly flows share', "Jain's index; 1 is equal", crowds, 'jain')),
        ]),
  ]);
}
