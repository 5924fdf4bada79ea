import { type Direction, directions, type Labels, type Limit } from './limit.ts';
import { quote } from './quote.ts';
import { formatRate, parseRate, parseTotal, RateError } from './rate.ts';

/** What happens to a pod that breaks a policy: refused; admitted with a warning; admitted with an audit annotation. */
export type Mode = 'enforce' | 'warn' | 'audit';

/** The prefix of all namespace labels that podrate reads. */
export const policyPrefix = 'podrate.dev/';

/** The label whose presence makes a namespace one with a policy. */
export const modeLabel = `${policyPrefix}mode`;

/** The modes, the strictest first. */
export const modes: readonly Mode[] = ['enforce', 'warn', 'audit'];

const fields = ['default', 'min', 'max', 'quota'] as const;
type Field = (typeof fields)[number];

/** Bytes per second of a sum of pods, per direction; a direction that is absent has no bound. */
export type Total = { readonly [direction in Direction]?: number };

/** What a namespace says about its pods; a direction that is absent in a part has nothing said about it. */
export interface Policy {
  readonly mode: Mode;
  /** Given to pods that do not name the direction. */
  readonly default: Limit;
  /** Bounds of one pod. */
  readonly min: Limit;
  readonly max: Limit;
  /** Bound of the sum over all pods that are not finished. */
  readonly quota: Total;
}

/** What an installation says about all namespaces with a policy, which these can narrow. */
export type InstallationPolicy = Pick<Policy, 'default' | 'max'>;

/** Why a policy cannot be used; a stable name, for programs. */
export type PolicyErrorCode =
  | 'policy/key'
  | 'policy/mode'
  | 'policy/no-mode'
  | 'policy/contradiction'
  | RateError['code'];

/** Namespace labels that make no policy. The message is one sentence that says what to write. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  readonly code: PolicyErrorCode;
  /** The key of the label. */
  readonly key: string;

  constructor(code: PolicyErrorCode, key: string, explanation: string, cause?: unknown) {
    super(`label ${key}${explanation}`, { cause });
    this.code = code;
    this.key = key;
  }
}

/**
 * Reads a namespace's policy from its labels.
 * @returns undefined if the namespace has none
 * @throws PolicyError for labels that are malformed, contradict each other or the installation, or come without a mode
 */
export function parsePolicy(labels: Labels, installation: InstallationPolicy): Policy | undefined {
  const keys = Object.keys(labels ?? {}).filter((key) => key.startsWith(policyPrefix));
  for (const key of keys) {
    if (!knownKeys.has(key)) {
      const known = fields.map((field) => policyPrefix + field).join(', ');
      throw new PolicyError(
        'policy/key',
        key,
        ` is no policy label: write ${modeLabel} or one of ${known}, the latter also with -egress or -ingress`,
      );
    }
  }
  const [first] = keys;
  if (first === undefined) return undefined;
  const written = labels?.[modeLabel];
  const choice = `${modeLabel}=enforce, or warn or audit to refuse nothing`;
  if (written === undefined)
    throw new PolicyError('policy/no-mode', first, ` does nothing without a mode: write ${choice}`);
  const mode = modes.find((known) => known === written);
  if (mode === undefined) {
    throw new PolicyError('policy/mode', modeLabel, `: ${quote(written)} is no mode: write ${choice}`);
  }
  const policy = {
    mode,
    default: read(labels, 'default', parseRate),
    min: read(labels, 'min', parseRate),
    max: read(labels, 'max', parseRate),
    quota: read(labels, 'quota', parseTotal),
  };
  for (const direction of directions) checkOrder(policy, installation, labels, direction);
  return policy;
}

/** The key of a policy's label that says something about a direction: its own one if it is there, else that of both. */
export function policyKey(labels: Labels, field: Field, direction: Direction): string {
  const own = `${policyPrefix}${field}-${direction}`;
  return labels !== undefined && Object.hasOwn(labels, own) ? own : policyPrefix + field;
}

const knownKeys: ReadonlySet<string> = new Set([
  modeLabel,
  ...fields.flatMap((field) => ['', '-egress', '-ingress'].map((suffix) => policyPrefix + field + suffix)),
]);

function read<T extends number>(labels: Labels, field: Field, parse: (text: string) => T) {
  const found: { [direction in Direction]?: T } = {};
  // Every label is read, also one that both others overrule.
  const both = readOne(labels, policyPrefix + field, parse);
  for (const direction of directions) {
    const value = readOne(labels, `${policyPrefix}${field}-${direction}`, parse) ?? both;
    if (value !== undefined) found[direction] = value;
  }
  return found;
}

function readOne<T extends number>(labels: Labels, key: string, parse: (text: string) => T): T | undefined {
  if (labels === undefined || !Object.hasOwn(labels, key)) return undefined;
  try {
    return parse(labels[key] ?? '');
  } catch (error) {
    if (!(error instanceof RateError)) throw error;
    throw new PolicyError(error.code, key, `: ${error.message}`, error);
  }
}

// Which of two must not be above the other. A maximum above the quota is no contradiction: the quota then bounds each
// pod as well.
const order: readonly (readonly [Field, Field])[] = [
  ['min', 'max'],
  ['default', 'max'],
  ['min', 'default'],
  ['min', 'quota'],
  ['default', 'quota'],
];

function checkOrder(policy: Policy, installation: InstallationPolicy, labels: Labels, direction: Direction): void {
  const most = installation.max[direction];
  const check = (field: Field, name: string, bound: number | undefined) => {
    const value = policy[field][direction];
    if (value === undefined || bound === undefined || value <= bound) return;
    const explanation = `: ${formatRate(value)} is above ${name}, ${formatRate(bound)}: write ${formatRate(bound)} or less`;
    throw new PolicyError('policy/contradiction', policyKey(labels, field, direction), explanation);
  };
  for (const [below, above] of order) check(below, policyKey(labels, above, direction), policy[above][direction]);
  for (const field of ['max', 'default', 'min'] as const) check(field, "the installation's maximum", most);
}
