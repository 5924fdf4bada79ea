import fc from 'fast-check';
import jsonpatch from 'jsonpatch';
import { expect, test } from 'vitest';
import { labelKeys } from '../../../rate/keys.ts';
import type { Labels } from '../../../rate/limit.ts';
import { type Admission, createAdmission } from '../../../webhook/admission/admission.ts';
import type { Decision } from '../../../webhook/admission/decision.ts';
import { ReviewError, readReview, writeReview } from '../../../webhook/admission/review.ts';
import { mutatedReviews, wholeReviews } from './mutated-reviews.ts';
import { asked } from './pods.ts';

const policies: readonly Labels[] = [
  undefined,
  { 'podrate.dev/mode': 'enforce', 'podrate.dev/max': '5M', 'podrate.dev/quota': '20M' },
  { 'podrate.dev/mode': 'audit', 'podrate.dev/min': '2M', 'podrate.dev/default': '3M' },
  { 'podrate.dev/mode': 'enforced' },
];
const admissions = policies.map((labels) =>
  createAdmission({
    keys: labelKeys('rate'),
    installation: { default: {}, max: {} },
    labelsOf: async () => labels,
    quota: { check: async () => ({ allowed: true }) },
  }),
);

/** Does what the handler of a path does with a parsed body. @returns undefined where it answers with 400: for a malformed envelope */
async function handle(decide: Admission['mutate'], body: unknown): Promise<Decision | undefined> {
  let review: ReturnType<typeof readReview>;
  try {
    review = readReview(body);
  } catch (error) {
    if (!(error instanceof ReviewError)) throw error;
    if (error.message.length > 400) throw new Error(`a message of ${error.message.length} characters`);
    return undefined;
  }
  const decision = await decide(review, asked);
  // As it is sent.
  const { response } = JSON.parse(JSON.stringify(writeReview(review.uid, decision))) as ReturnType<typeof writeReview>;
  if (response.uid !== (body as { request: { uid: string } }).request.uid) throw new Error(`uid ${response.uid}`);
  if (response.allowed !== (decision.outcome !== 'deny')) throw new Error('another answer than decision');
  if (!response.allowed && !(response.status?.message && [403, 422].includes(response.status.code))) {
    throw new Error(`unclear refusal ${JSON.stringify(response)}`);
  }
  return decision;
}

/** Decides about what a patch makes of the object of a review. */
function patchAgain(body: unknown, operations: readonly object[], mutate: Admission['mutate']): Promise<Decision> {
  const { request } = body as { request: { object: object } };
  const object = jsonpatch.apply_patch(request.object, structuredClone([...operations]));
  return mutate(readReview({ ...(body as object), request: { ...request, object } }), asked);
}

test('whole reviews are decided about', async () => {
  for (const { validate } of admissions) {
    for (const body of wholeReviews) expect(await handle(validate, body)).toBeDefined();
  }
});

test('a hundred thousand answers about mutated reviews are each a clear 400 or a decision with their uid', async () => {
  const counts: Record<string, number> = {};
  const count = (decision: Decision | undefined) => {
    const outcome = decision?.outcome ?? '400';
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  };
  const bodies = fc.tuple(mutatedReviews, fc.constantFrom(...admissions));
  const one = async ([body, { mutate, validate }]: readonly [unknown, Admission]) => {
    const mutated = await handle(mutate, body);
    count(mutated);
    count(await handle(validate, body));
    if (mutated?.outcome !== 'patch') return;
    const again = await patchAgain(body, mutated.operations, mutate);
    if (again.outcome === 'patch') throw new Error('a patched pod is patched again');
  };
  // Each is put to both handlers.
  await fc.assert(fc.asyncProperty(bodies, one), { numRuns: 50_000 });
  for (const outcome of ['400', 'leave', 'patch', 'deny']) expect(counts[outcome], outcome).toBeGreaterThan(500);
  expect({}).not.toHaveProperty('polluted');
}, 60_000);
