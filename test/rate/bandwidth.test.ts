import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bandwidthAnnotation, bandwidthLabels, bandwidthWarnings, parseBandwidth } from '../../rate/bandwidth.ts';
import { labelKeys } from '../../rate/keys.ts';

test.each([
  ['10M', 1_250_000],
  ['8k', 1_000],
  ['1Ki', 128],
  ['1.5G', 187_500_000],
  ['+1e6', 125_000],
  ['1E6', 125_000],
  ['1000', 125],
  ['1P', 125_000_000_000_000],
  ['0.001M', 125],
  ['1.M', 125_000],
])('%s bits per second are %i bytes per second', (text, bytes) => {
  expect(parseBandwidth(text)).toBe(bytes);
});

test.each([
  '',
  'M',
  '10m',
  '-1M',
  '999',
  '2P',
  '10K',
  '10ki',
  '1 M',
  '1e99',
  '10Mbit',
  '1.2.3M',
  `${'0'.repeat(63)}1M`,
])('%j is what a CNI plugin refuses', (text) => {
  expect(parseBandwidth(text)).toBeUndefined();
});

test('any text is read or refused at once', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'0123456789.eEkKMGTPi+-') }), (text) => void parseBandwidth(text)),
  );
  const start = performance.now();
  for (const text of ['0'.repeat(1e6), `${'1'.repeat(1e6)}x`, '.'.repeat(1e6)])
    expect(parseBandwidth(text)).toBeUndefined();
  expect(performance.now() - start).toBeLessThan(100);
});

test('each direction has its key', () => {
  expect([bandwidthAnnotation('egress'), bandwidthAnnotation('ingress')]).toEqual([
    'kubernetes.io/egress-bandwidth',
    'kubernetes.io/ingress-bandwidth',
  ]);
});

test('a warning tells the annotation as a rate, or that it is there where it is no quantity', () => {
  const warnings = bandwidthWarnings({
    'kubernetes.io/egress-bandwidth': '10M',
    'kubernetes.io/ingress-bandwidth': 'x'.repeat(100_000),
  });
  expect(warnings).toEqual([
    'annotation kubernetes.io/egress-bandwidth counts bits (10M is rate 1.25M): a CNI plugin may limit the pod as well',
    'annotation kubernetes.io/ingress-bandwidth is there too: a CNI plugin may limit the pod as well',
  ]);
  expect(bandwidthWarnings(undefined)).toEqual([]);
});

test('annotations are told as rate labels within the bounds of rates', () => {
  const labels = (egress: string, ingress: string) =>
    bandwidthLabels(
      { 'kubernetes.io/egress-bandwidth': egress, 'kubernetes.io/ingress-bandwidth': ingress },
      labelKeys('example.com/rate'),
    );
  expect(labels('10M', '1Gi')).toEqual({ 'example.com/rate-egress': '1.25M', 'example.com/rate-ingress': '128Mi' });
  expect(labels('1k', '1P')).toEqual({ 'example.com/rate-egress': '1K' });
  expect(labels('fast', '')).toEqual({});
});
