import { applyPolicy } from '../../rate/apply-policy.ts';
import { bandwidthWarnings } from '../../rate/bandwidth.ts';
import type { LabelKeys } from '../../rate/keys.ts';
import { isLimited } from '../../rate/limit.ts';
import type { Policy } from '../../rate/policy.ts';
import { admit, type Decision, type Fault, good, joinFaults } from './decision.ts';
import { fieldsOf, optionalFields, optionalStrings } from './fields.ts';
import type { Labelled } from './pod.ts';
import { hasRateLabel, hasSameDscp, hasSameRateLabels, requestedDscp, requestedRates } from './requests.ts';

/**
 * Reads the labels and annotations of a workload's pod template. All kinds but CronJob have it at the same place.
 * @throws FieldError
 */
export function readTemplate(object: unknown): Labelled {
  const spec = optionalFields(fieldsOf(object, 'object').spec, 'object.spec');
  const job = optionalFields(spec.jobTemplate, 'object.spec.jobTemplate').spec;
  const { template } = job === undefined ? spec : optionalFields(job, 'object.spec.jobTemplate.spec');
  const metadata = optionalFields(optionalFields(template, 'template').metadata, 'template.metadata');
  return {
    labels: optionalStrings(metadata.labels, 'template.metadata.labels'),
    annotations: optionalStrings(metadata.annotations, 'template.metadata.annotations'),
  };
}

/**
 * Decides about the pod template of a workload: what its pods would be refused for is refused when it is applied. A
 * template without a rate label gets a warning instead.
 * @param old undefined when the workload is created
 */
export function validateTemplate(
  template: Labelled,
  old: Labelled | undefined,
  keys: LabelKeys,
  policy: Policy | undefined,
): Decision {
  const { malformed: badDscp } = requestedDscp(template);
  if (badDscp !== undefined && (old === undefined || !hasSameDscp(template, old))) {
    return { outcome: 'deny', ...inTemplate(badDscp) };
  }
  if (old !== undefined && hasSameRateLabels(template, old, keys)) return good;
  const mode = policy?.mode ?? 'enforce';
  const { asked, malformed } = requestedRates(template, keys);
  const { limit, violations } = applyPolicy(asked ?? {}, policy);
  const fault = malformed ?? joinFaults(violations);
  if (fault === undefined)
    return isLimited(limit) ? { outcome: 'leave', warnings: bandwidthWarnings(template.annotations) } : good;
  // A template that says nothing about rates may get them from another webhook, on its pods.
  return admit(inTemplate(fault), mode === 'enforce' && !hasRateLabel(template, keys) ? 'warn' : mode);
}

function inTemplate(fault: Fault): Fault {
  return { ...fault, message: `pod template: ${fault.message}` };
}
