import type { VariantName } from './variants.ts';

/**
 * When a scenario runs: first reviews, to show the webhook's memory under them alone; then what is judged by p99, as long as the API
 * server has had few pods and its garbage collections are short, which a hundred clients make longer than one; last what fills it.
 */
export const stages = ['reviews', 'one client', 'a hundred clients', 'many pods'] as const;

/** Pods are created, or reviews are sent to the webhook itself, by so many clients; each has one request under way. */
export interface Scenario {
  readonly name: string;
  readonly kind: 'pods' | 'reviews';
  readonly stage: (typeof stages)[number];
  readonly clients: number;
  /** Of all clients together, in one run. */
  readonly requests: { readonly full: number; readonly quick: number };
  /** How often each variant runs in a round; what is judged by a difference of percentiles takes several runs, or long ones. */
  readonly times: number;
  readonly variants: readonly VariantName[];
  /** In the namespace that was filled with pods before, not in an empty one. */
  readonly crowded?: boolean;
}

const all: readonly VariantName[] = ['none', 'podrate', 'podrate-quota', 'peer', 'peer-mutate'];

/** How many pods the crowded namespace has. */
export const crowd = { full: 10_000, quick: 2_000 };

/** Everything that is measured. The memory of the webhook is looked at after the reviews: 100,000 of them, 10,000 with --quick. */
export const scenarios: readonly Scenario[] = [
  {
    ...{ name: 'reviews, 100 clients', kind: 'reviews', stage: 'reviews', clients: 100, times: 1 },
    ...{ requests: { full: 20_000, quick: 5_000 }, variants: ['podrate', 'peer'] },
  },
  // An API server's garbage collections take hold of about one create in a hundred: just where p99 is. So it takes very many creates, and
  // collections that are short and many: after bursts of a thousand clients one takes a second or more, and it is chance which run meets two.
  { ...pods('1 client', 1, { full: 3_000, quick: 400 }, all), times: 2, stage: 'one client' },
  // The first creates of a run wait for the connections of the API server to the webhook, a hundred at once: a part of many, not of few.
  { ...pods('100 clients', 100, { full: 2_500, quick: 500 }, all), times: 3, stage: 'a hundred clients' },
  pods('1,000 clients', 1_000, { full: 3_000, quick: 1_200 }, ['none', 'podrate', 'podrate-quota', 'peer']),
  pods('empty namespace, 1 client', 1, { full: 1_000, quick: 200 }, ['podrate-quota']),
  { ...pods('crowded namespace, 1 client', 1, { full: 1_000, quick: 200 }, ['podrate-quota']), crowded: true },
];

/** The scenarios with one of the texts in their names; all where there is no text. */
export function chooseScenarios(only: readonly string[]): readonly Scenario[] {
  return only.length === 0 ? scenarios : scenarios.filter(({ name }) => only.some((text) => name.includes(text)));
}

function pods(
  name: string,
  clients: number,
  requests: Scenario['requests'],
  variants: readonly VariantName[],
): Scenario {
  return { name: `pods, ${name}`, kind: 'pods', stage: 'many pods', clients, requests, variants, times: 1 };
}
