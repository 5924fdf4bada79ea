import { execFile } from 'node:child_process';
import process from 'node:process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { ownerList, stringMap } from '../../webhook/first-fault.ts';

test.each([
  [{ a: '1', b: 2, c: null }, ['b'], 'expected string, received number'],
  [{ a: null }, ['a'], 'expected string, received null'],
  [JSON.parse('{"__proto__": {}}'), ['__proto__'], 'expected string, received object'],
  [['a'], [], 'expected object, received array'],
  ['a', [], 'expected object, received string'],
])('labels like %j are refused for their first fault', (labels, path, message) => {
  expect(stringMap.safeParse(labels).error?.issues).toMatchObject([{ path, message: `Invalid input: ${message}` }]);
});

test.each([
  [[{}, 1, 2], [1], 'expected object, received number'],
  [[{ controller: 'yes' }, 1], [0, 'controller'], 'expected boolean, received string'],
  [[null], [0], 'expected object, received null'],
  [{}, [], 'expected array, received object'],
])('owners like %j are refused for their first fault', (owners, path, message) => {
  expect(ownerList.safeParse(owners).error?.issues).toMatchObject([{ path, message: `Invalid input: ${message}` }]);
});

test('right labels and owners are taken as they are', () => {
  const labels = { a: '1', b: '' };
  expect(stringMap.parse(labels)).toEqual(labels);
  const owners = [{ controller: true, uid: 'u' }, { controller: null }, {}];
  expect(ownerList.parse(owners)).toEqual(owners);
});

test('a body full of faults is refused in little memory', async () => {
  // A process of its own, as nothing else can show that it does not end for want of memory.
  const program = `
    import { readReview } from './webhook/review.ts';
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ownerReferences: Array(3_400_000).fill(1) } };
    const request = { uid: 'u-1', operation: 'CREATE', object: pod };
    try { readReview({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request }); }
    catch (error) { console.log(error.message); }`;
  const args = ['--max-old-space-size=128', '--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toContain('ownerReferences.0 of this AdmissionReview is wrong: Invalid input: expected object');
});
