import { execa } from 'execa';
import { expect, test } from 'vitest';
import { parseSocketSamples, samplingLoop } from '../../demo/socket-samples.ts';

const established = (port: number, sent: number, segmentsOut: number, received: number, segmentsIn: number) =>
  `ESTAB 0      0      10.78.1.5:41000 10.78.1.6:${port} cubic wscale:7,7 rto:204 bytes_sent:${sent} bytes_acked:1 bytes_received:${received} segs_out:${segmentsOut} segs_in:${segmentsIn} data_segs_out:99 data_segs_in:98 send 1Mbps`;

test('a block becomes one sample that counts payload and the headers of every segment', () => {
  const text = `${established(9875, 1_448_000, 1000, 0, 10)}\n@ 12.5\n${established(9875, 1_448_000, 1000, 0, 10)}\n@ 12.7\n`;
  const samples = parseSocketSamples(text, 9875);
  expect(samples).toHaveLength(2);
  expect(samples[0]).toEqual({
    seconds: 12.5,
    sentBytes: 1_448_000 + 52_000,
    receivedBytes: 520,
    connections: ['10.78.1.5:41000 10.78.1.6:9875'],
  });
});

test('data_segs_out is not mistaken for segs_out', () => {
  expect(parseSocketSamples(`${established(9875, 0, 2, 0, 0)}\n@ 1\n`, 9875)[0]?.sentBytes).toBe(104);
});

test('sockets of other ports and other states do not count', () => {
  const text = `${established(443, 5000, 5, 0, 0)}\nTIME-WAIT 0 0 10.78.1.5:9875 10.78.1.6:1 \n@ 1\n`;
  expect(parseSocketSamples(text, 9875)).toEqual([{ seconds: 1, sentBytes: 0, receivedBytes: 0, connections: [] }]);
});

test('a block that was cut off before its time does not count', () => {
  expect(parseSocketSamples(`@ 1\n${established(9875, 1000, 1, 0, 0)}\n`, 9875)).toHaveLength(1);
});

test('the counters of several connections are added', () => {
  const text = `${established(9875, 1000, 1, 0, 0)}\n${established(9875, 2000, 1, 0, 0)}\n@ 1\n`;
  expect(parseSocketSamples(text, 9875)[0]?.sentBytes).toBe(3104);
});

test('the sampling loop marks every reading with its time until its seconds are over', async () => {
  const { stdout } = await execa('bash', ['-c', samplingLoop(2, 0.05)]);
  const times = parseSocketSamples(stdout, 9875).map((sample) => sample.seconds);
  expect(times.length).toBeGreaterThan(2);
  expect(times.toSorted((a, b) => a - b)).toEqual(times);
});
