import { expect, test } from 'vitest';
import { reasonOf } from '../../../nodeagent/api/events.ts';
import {
  type LimitedCondition,
  noLimitCondition,
  uninstalledCondition,
} from '../../../nodeagent/api/limited-condition.ts';

const inForce: LimitedCondition = { status: 'True', reason: 'InForce', message: 'The pod sends at most 1M.' };
const failed: LimitedCondition = { status: 'False', reason: 'AttachFailed', message: 'The limit is not in force.' };

test.each([
  ['a first limit', undefined, inForce, 'Normal', 'RateApplied'],
  ['a limit after a failure', 'False', inForce, 'Normal', 'RateApplied'],
  ['another limit', 'True', inForce, 'Normal', 'RateUpdated'],
  ['a limit that is not in force', 'True', failed, 'Warning', 'RateFailed'],
  ['a limit that nobody wants any more', 'True', noLimitCondition, 'Normal', 'RateRemoved'],
  ['a limit that was uninstalled', 'True', uninstalledCondition, 'Normal', 'RateRemoved'],
] as const)('%s is told as what it is', (_, before, condition, type, reason) => {
  expect(reasonOf(before, condition)).toEqual({ type, reason });
});
