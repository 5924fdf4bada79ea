import { stampAnnotation } from '../../rate/keys.ts';

/** The label of a namespace that says whose registration takes its pods. */
export const takerLabel = 'bench.podrate.dev/webhook';

/** The peer's annotation, as bench/webhook/peer writes it. */
const peerAnnotation = 'peer.podrate.dev/egress';

/** Who admits the pods of a namespace, and how one sees on a created pod that it did. */
export interface Variant {
  readonly labels: Readonly<Record<string, string>>;
  /** What is in every answer to a create. */
  readonly expect: string;
}

/** The quota of a namespace that has one: more than all pods of a run. */
const quota = { 'podrate.dev/mode': 'enforce', 'podrate.dev/quota': '100000G' };

/** All ways in which a pod is admitted here. */
export const variants = {
  /** No webhook takes the pod. */
  none: { labels: {}, expect: '"phase":"Pending"' },
  /** Mutation and validation by podrate, in a namespace without a policy. */
  podrate: { labels: { [takerLabel]: 'podrate' }, expect: stampAnnotation },
  /** The same in a namespace with a quota. */
  'podrate-quota': { labels: { [takerLabel]: 'podrate', ...quota }, expect: stampAnnotation },
  /** The Go webhook, called as often as podrate: it mutates, and is asked to validate. */
  peer: { labels: { [takerLabel]: 'peer' }, expect: peerAnnotation },
  /** The Go webhook, which only mutates. */
  'peer-mutate': { labels: { [takerLabel]: 'peer-mutate' }, expect: peerAnnotation },
} as const satisfies Record<string, Variant>;

export type VariantName = keyof typeof variants;
