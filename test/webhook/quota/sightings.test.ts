import { expect, test } from 'vitest';
import { nothing } from '../../../webhook/quota/amounts.ts';
import { type Grant, grantKey } from '../../../webhook/quota/ledger.ts';
import { createSightings } from '../../../webhook/quota/sightings.ts';

const grant = (uid: string, serial = 0): Grant => ({ name: uid, uid, serial, amounts: nothing, from: undefined });

test('a grant expires when it has been seen for its life, and one that came later does not', () => {
  let now = 0;
  const sightings = createSightings(90_000, () => now);
  sightings.note('team', [grant('a')]);
  now = 50_000;
  sightings.note('team', [grant('a'), grant('b')]);
  now = 89_999;
  expect(sightings.expired('team')).toEqual(new Set());
  now = 90_000;
  expect(sightings.expired('team')).toEqual(new Set([grantKey(grant('a'))]));
  expect(sightings.expired('other')).toEqual(new Set());
});

test('a grant that left is forgotten, and a new one of the same pod has a life of its own', () => {
  let now = 0;
  const sightings = createSightings(90_000, () => now);
  sightings.note('team', [grant('a')]);
  sightings.note('other', [grant('a')]);
  now = 80_000;
  sightings.note('team', [grant('a', 1)]);
  sightings.note('other', []);
  now = 90_000;
  expect(sightings.expired('team')).toEqual(new Set());
  expect(sightings.expired('other')).toEqual(new Set());
});
