import { expect, test } from 'vitest';
import { parseSocketSamples } from '../../demo/traffic/socket-samples.ts';

const connection = (sent: number, segmentsOut: number, received: number, segmentsIn: number) =>
  `10.78.1.5:41000 10.78.1.6:9875 ${sent} ${segmentsOut} ${received} ${segmentsIn}`;

test('a block becomes one sample that counts payload and the headers of every segment', () => {
  const text = `${connection(1_448_000, 1000, 0, 10)}\n@ 12.5\n${connection(1_448_000, 1000, 0, 10)}\n@ 12.7\n`;
  const samples = parseSocketSamples(text);
  expect(samples).toHaveLength(2);
  expect(samples[0]).toEqual({
    seconds: 12.5,
    sentBytes: 1_448_000 + 52_000,
    receivedBytes: 520,
    connections: ['10.78.1.5:41000 10.78.1.6:9875'],
  });
});

test('a block that was cut off before its time does not count', () => {
  expect(parseSocketSamples(`@ 1\n${connection(1000, 1, 0, 0)}\n`)).toHaveLength(1);
});

test('the counters of several connections are added', () => {
  const text = `${connection(1000, 1, 0, 0)}\n${connection(2000, 1, 0, 0)}\n@ 1\n`;
  expect(parseSocketSamples(text)[0]?.sentBytes).toBe(3104);
});
