/**
 * Measures the shaper on this machine and prints one line for each case: `node test/lab/traffic/measure.ts [WORD…]` runs the
 * cases whose names contain all words (`node test/lab/traffic/measure.ts egress 10M`); a word like `6s` sets the length of each. IP bytes come from the network device, not from the shaper's own counters.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lab, openLab } from '../lab.ts';
import { setCongestionControl } from '../network.ts';
import { meanRate, readDelivered, readRetransmits, readSent } from './meter.ts';
import { type SinkSample, startSink, startStreams } from './traffic.ts';

interface Case {
  name: string;
  rate: number;
  flows: number;
  congestion: string;
  /** Who is limited: the sender, the receiver or both. */
  limited: 'egress' | 'ingress' | 'both';
  family: 'ipv4' | 'ipv6';
}

const isDuration = (word: string) => /^\d+s$/.test(word);
const words = process.argv.slice(2).filter((word) => !isDuration(word));
const seconds = Number.parseInt(process.argv.find(isDuration) ?? '4s', 10);

function* cases(): Generator<Case> {
  for (const limited of ['egress', 'ingress', 'both'] as const)
    for (const rate of [1e6, 5e6, 10e6, 125e6])
      for (const flows of rate === 5e6 ? [1, 8, 100] : [1, 8])
        for (const congestion of ['cubic', 'bbr'])
          for (const family of rate === 10e6 && congestion === 'cubic'
            ? (['ipv4', 'ipv6'] as const)
            : (['ipv4'] as const)) {
            const name = `${limited} ${rate / 1e6}M ${flows}f ${congestion} ${family}`;
            yield { name, rate, flows, congestion, limited, family };
          }
}

async function measure(lab: Lab, { rate, flows, congestion, limited, family, name }: Case): Promise<void> {
  const { a, b } = lab.pods;
  await setCongestionControl(a, congestion);
  await lab.shaper.attach(a.cgroup, 1, limited === 'ingress' ? {} : { egress: rate });
  await lab.shaper.attach(b.cgroup, 2, limited === 'egress' ? {} : { ingress: rate });
  const before = await lab.shaper.readCounters(limited === 'egress' ? 1 : 2);
  const sink = await startSink(b);
  const sentBefore = await readRetransmits(a);
  const read = () => (limited === 'egress' ? readSent(a) : readDelivered(b));
  const start = await read();
  const source = await startStreams(a, b[family], flows);
  await sleep(1000);
  const first = await read();
  await sleep(seconds * 1000);
  const end = await read();
  const resent = (await readRetransmits(a)) - sentBefore;
  const after = await lab.shaper.readCounters(limited === 'egress' ? 1 : 2);
  await source.stop();
  await sink.stop();
  await lab.shaper.detach(a.cgroup);
  await lab.shaper.detach(b.cgroup);
  const direction = limited === 'egress' ? 'egress' : 'ingress';
  const dropped = after[direction].dropped.packets - before[direction].dropped.packets;
  const last = sink.lines.at(-1);
  console.log(
    name.padEnd(36),
    `ip ${(meanRate(first, end) / rate).toFixed(3)}`,
    `first ${((first.ipBytes - start.ipBytes) / rate).toFixed(2)}`,
    ...windows(sink.lines, rate),
    `jain ${jain(last?.connections ?? []).toFixed(2)}`,
    `resent ${((100 * resent) / (end.packets - start.packets)).toFixed(2)}%`,
    `dropped ${dropped}`,
    `broken ${source.lines.length}`,
  );
}

/** Standard deviation and maximum of 100 ms windows of goodput, as a part of the limit, after the first second. */
function windows(samples: SinkSample[], rate: number): string[] {
  const total = (sample?: SinkSample) => (sample?.connections ?? []).reduce((sum, bytes) => sum + bytes, 0);
  const begun = samples.findIndex((sample) => total(sample) > 0);
  const values = samples
    .slice(begun + 10)
    .map((sample, index, all) => {
      const next = all[index + 1];
      return next ? ((total(next) - total(sample)) * 1000) / (next.atMs - sample.atMs) / rate : Number.NaN;
    })
    .filter((value) => !Number.isNaN(value));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  return [`good ${mean.toFixed(3)}`, `sd ${deviation.toFixed(3)}`, `max ${Math.max(...values).toFixed(2)}`];
}

function jain(bytes: number[]): number {
  const sum = bytes.reduce((total, value) => total + value, 0);
  return sum ** 2 / (bytes.length * bytes.reduce((total, value) => total + value ** 2, 0));
}

const lab = await openLab();
try {
  for (const one of cases()) if (words.every((word) => one.name.split(' ').includes(word))) await measure(lab, one);
} finally {
  await lab.close();
}
