import { expect, test } from 'vitest';
import { readRecording, receivedRate, resent } from './recording.ts';

const recording = readRecording(
  [
    'event 1.00 one 3',
    'sample 0.950 peer 1000 0',
    'sample 1.050 peer 1448 0',
    'sample 2.050 peer 145000 1000',
    'event 2.10 one-end 5',
    'sample 2.150 peer 999999 0',
    `command 3.00 doctor 3 ${Buffer.from('a b\n').toString('base64')}`,
    'sink: bind: Address already in use',
  ].join('\r\n'),
);

test('a rate counts what was received between begin and end, with the headers of full packets', () => {
  expect(receivedRate(recording, 'peer', 'one')).toBeCloseTo(((145000 - 1448) * 1500) / 1448 + 1028, 3);
});

test('resent segments and commands are read, and other lines are left out', () => {
  expect(resent(recording, 'one')).toBe(2);
  expect([...recording.commands]).toEqual([['doctor', { seconds: 3, status: 3, output: 'a b\n' }]]);
  expect([...recording.events.keys()]).toEqual(['one', 'one-end']);
});

test('what was not measured is an error, not a rate of nothing', () => {
  expect(() => receivedRate(recording, 'peer', 'two')).toThrow('two was not measured');
  expect(() => receivedRate(recording, 'pod', 'one')).toThrow('pod gave no samples of one');
});
