import { expect, test } from 'vitest';
import { setStrings } from '../../../webhook/admission/patch.ts';
import { pod } from './pods.ts';

test('keys are escaped as JSON pointers', () => {
  expect(setStrings(pod({ labels: {} }), 'labels', new Map([['a.b/c~d', 'x']]))).toEqual([
    { op: 'add', path: '/metadata/labels/a.b~1c~0d', value: 'x' },
  ]);
});

test('the parent is added only if it is absent and something goes into it', () => {
  const wanted = new Map([['k', 'v']]);
  expect(setStrings(pod({}), 'annotations', wanted)).toEqual([
    { op: 'add', path: '/metadata/annotations', value: {} },
    { op: 'add', path: '/metadata/annotations/k', value: 'v' },
  ]);
  expect(setStrings(pod({ annotations: null }), 'annotations', wanted)).toHaveLength(2);
  expect(setStrings(pod({ annotations: {} }), 'annotations', wanted)).toHaveLength(1);
  expect(setStrings(pod({}), 'annotations', new Map([['k', undefined]]))).toEqual([]);
});

test('what is right already is left, what differs is replaced, what should go is removed', () => {
  const present = pod({ labels: { right: '1', wrong: '2', gone: '3', other: '4' } });
  const wanted = new Map([
    ['right', '1'],
    ['wrong', '9'],
    ['gone', undefined],
  ]);
  expect(setStrings(present, 'labels', wanted)).toEqual([
    { op: 'replace', path: '/metadata/labels/wrong', value: '9' },
    { op: 'remove', path: '/metadata/labels/gone' },
  ]);
});
