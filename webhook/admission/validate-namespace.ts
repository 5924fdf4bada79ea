import type { Labels } from '../../rate/limit.ts';
import { type InstallationPolicy, PolicyError, parsePolicy, policyPrefix } from '../../rate/policy.ts';
import { type Decision, good } from './decision.ts';

/** Decides about the policy labels of a namespace. */
export function validateNamespace(labels: Labels, oldLabels: Labels, installation: InstallationPolicy): Decision {
  try {
    parsePolicy(labels, installation);
    return good;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const { code, message } = error;
    // A bad policy that got in while the webhook was away must not keep its namespace from being deleted.
    if (policyLabels(labels) === policyLabels(oldLabels)) return { outcome: 'leave', warnings: [message] };
    return { outcome: 'deny', status: 422, code, message };
  }
}

function policyLabels(labels: Labels = {}): string {
  const entries = Object.entries(labels).filter(([key]) => key.startsWith(policyPrefix));
  return JSON.stringify(entries.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}
