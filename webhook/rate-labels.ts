import type { LabelKeys } from '../rate/keys.ts';
import { formatRate, parseRate, RateError } from '../rate/rate.ts';
import type { Pod } from './pod.ts';

/** What has labels. */
export interface Labelled {
  readonly metadata: Pick<Pod['metadata'], 'labels'>;
}

/** Tells whether the rate labels of two objects say the same, in whatever form: the webhook itself rewrites them. */
export function hasSameRateLabels(one: Labelled, other: Labelled, keys: LabelKeys): boolean {
  return Object.values(keys).every((key) => canonical(one, key) === canonical(other, key));
}

/** Tells whether an object has a rate label. */
export function hasRateLabel({ metadata }: Labelled, keys: LabelKeys): boolean {
  return Object.values(keys).some((key) => Object.hasOwn(metadata.labels ?? {}, key));
}

// The text itself where it is no rate, which no rate's canonical form is.
function canonical({ metadata }: Labelled, key: string): string | undefined {
  const text = metadata.labels?.[key];
  if (text === undefined) return undefined;
  try {
    return formatRate(parseRate(text));
  } catch (error) {
    if (error instanceof RateError) return text;
    throw error;
  }
}
