/** The command `admit`: what admission would answer about manifests, without a cluster. */
import { stringify } from 'yaml';
import { defaultLabelKey, KeyError, labelKeys } from '../../rate/keys.ts';
import type { Limit } from '../../rate/limit.ts';
import { parseRate, RateError } from '../../rate/rate.ts';
import { type Admitted, decide } from '../admit/decide.ts';
import { readManifests } from '../admit/manifests.ts';
import { readTemplates } from '../admit/templates.ts';
import { CommandError } from '../errors.ts';

/** The options of the command, as the user wrote them. */
export interface AdmitOptions {
  readonly file?: string | undefined;
  readonly 'namespace-file'?: string | undefined;
  /** The installation's key of the rate label. */
  readonly 'label-key'?: string | undefined;
  /** The installation's default and maximum. */
  readonly default?: string | undefined;
  readonly max?: string | undefined;
  /** Whether pods without a rate label are limited by their annotations of CNI plugins. */
  readonly 'bandwidth-annotations'?: boolean | undefined;
  /** Where kinds that admission does not know have their pod template. */
  readonly template?: readonly string[] | undefined;
}

/** Decides about the objects of a file, as when they are created. @throws CommandError */
export async function admit(options: AdmitOptions): Promise<Admitted[]> {
  const { file, 'namespace-file': namespaces } = options;
  if (file === undefined) throw new CommandError('cli/usage', 'say what to judge: -f FILE, or -f - for standard input');
  const setup = {
    keys: read('label-key', options['label-key'] || defaultLabelKey, labelKeys),
    installation: { default: read('default', options.default, bothOf), max: read('max', options.max, bothOf) },
    obeysBandwidth: options['bandwidth-annotations'] ?? false,
    templates: readTemplates(options.template ?? []),
  };
  const others = namespaces === undefined ? [] : await readManifests(namespaces);
  return decide(await readManifests(file), others, setup);
}

/** Reads an option by a parser of the domain. @throws CommandError */
function read<T>(name: string, text: string | undefined, parse: (text: string) => T): T;
function read(name: string, text: string | undefined, parse: (text: string) => unknown): unknown {
  try {
    return parse(text ?? '');
  } catch (error) {
    if (!(error instanceof KeyError || error instanceof RateError)) throw error;
    throw new CommandError('cli/usage', `--${name}: ${error.message}`);
  }
}

function bothOf(text: string): Limit {
  if (text === '') return {};
  const rate = parseRate(text);
  return { egress: rate, ingress: rate };
}

/** Writes answers for people: what is stored as YAML for standard output, and what is said for standard error. */
export function formatAdmitted(answers: readonly Admitted[]): { stored: string; said: string[] } {
  const said = answers.flatMap(({ object, allowed, status, message, warnings }) => [
    ...warnings.map((warning) => `Warning: ${object}: ${warning}`),
    ...(allowed ? [] : [`Refused (${status}): ${object}: ${message}`]),
  ]);
  // kubectl reads YAML 1.1, which takes some words for booleans that YAML 1.2 takes for text.
  const texts = answers.flatMap(({ result }) => (result === null ? [] : [stringify(result, { schema: 'yaml-1.1' })]));
  return { stored: texts.join('---\n'), said: [...said, ...notJudged(answers)] };
}

function notJudged(answers: readonly Admitted[]): string[] {
  const counts = new Map<string, number>();
  for (const { kind, judged } of answers) if (!judged) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, count]) => `not judged: ${kind}${count === 1 ? '' : ` (${count} objects)`}`);
}
