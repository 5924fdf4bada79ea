import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addChanges, changesSince, noChanges } from '../../../webhook/policy-memory/changes.ts';

test('whoever knows a serial gets every change after it, or is told that some are not known any more', () => {
  const batches = fc.array(fc.array(fc.stringMatching(/^[a-z]{1,5}$/), { minLength: 1, maxLength: 300 }), {
    maxLength: 6,
  });
  fc.assert(
    fc.property(batches, fc.nat(2_000), (added, known) => {
      const changes = added.reduce(addChanges, noChanges);
      const all = added.flat();
      expect(changes.serial).toBe(all.length);
      const since = changesSince(changes, known);
      if (known > all.length || all.length - known > 500) expect(since).toBeUndefined();
      else expect(since).toEqual(all.slice(known));
    }),
  );
});
