import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  classIdOf,
  type Device,
  dscpOf,
  handleOf,
  type Mark,
  planMarks,
  wholeNamespace,
} from '../../../nodeagent/dscp/plan.ts';

const device = fc.record({
  index: fc.integer({ min: 2, max: 4 }),
  isUp: fc.boolean(),
  linkHeader: fc.constantFrom(0, 14),
  addresses: fc.constant([]),
});
const devices = fc.uniqueArray(device, { selector: ({ index }) => index });
const dscp = fc.integer({ min: 0, max: 63 });
const handle = fc.constantFrom(wholeNamespace, handleOf(7n), handleOf(8n));
const wanted = fc.record({ handle, dscp: fc.option(dscp, { nil: undefined }), version: fc.constantFrom(1, 0xfffe) });

function apply(marks: readonly Mark[], { set, remove }: ReturnType<typeof planMarks>): Mark[] {
  const isSame = (one: Mark, other: Mark) => one.index === other.index && one.handle === other.handle;
  return [...marks.filter((mark) => ![...set, ...remove].some((one) => isSame(one, mark))), ...set];
}

test('after its steps every device that sends is marked as wanted, others are untouched, and nothing is left to do', () => {
  fc.assert(
    fc.property(devices, fc.array(wanted, { minLength: 1 }), (there, wishes) => {
      let marks: Mark[] = [];
      for (const wish of wishes) {
        const before = marks.filter((mark) => mark.handle !== wish.handle);
        marks = apply(marks, planMarks(there, marks, wish));
        expect(planMarks(there, marks, wish)).toEqual({ set: [], remove: [] });
        expect(marks.filter((mark) => mark.handle !== wish.handle)).toEqual(before);
        const own = marks.filter((mark) => mark.handle === wish.handle);
        if (wish.dscp === undefined) expect(own).toEqual([]);
        else expect(own.length).toBeGreaterThanOrEqual(there.filter(({ isUp }) => isUp).length);
        for (const mark of own) expect(dscpOf(mark)).toBe(wish.dscp);
      }
    }),
  );
});

test('a mark of another version of the program is set anew, also on a device that is down', () => {
  const down: Device = { index: 2, isUp: false, linkHeader: 14, addresses: [] };
  const old = { index: 2, handle: wholeNamespace, classId: classIdOf(1, 14, 46) };
  const steps = planMarks([down], [old], { handle: wholeNamespace, dscp: 46, version: 2 });
  expect(steps).toEqual({ set: [{ ...old, classId: 0x2_03ae }], remove: [] });
  expect(planMarks([down], [], { handle: wholeNamespace, dscp: 46, version: 2 }).set).toEqual([]);
});

test('a class id has room for every code point and link-layer header, and gives the code point back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0xfffe }), fc.constantFrom(0, 14), dscp, (version, linkHeader, point) => {
      const classId = classIdOf(version, linkHeader, point);
      expect(classId >>> 16).toBe(version);
      expect(dscpOf({ classId })).toBe(point);
    }),
  );
});

test('the handle of a cgroup is a handle that tc takes, and never the one for a whole namespace', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }), (id) => {
      expect(handleOf(id)).toBeGreaterThan(wholeNamespace);
      expect(handleOf(id)).toBeLessThanOrEqual(0x7fff_ffff);
    }),
  );
});
