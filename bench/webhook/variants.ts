import { defaultLabelKey, stampAnnotation } from '../../rate/keys.ts';

/** The label of a namespace that says whose registration takes its pods. */
export const takerLabel = 'bench.podrate.dev/webhook';

/** The peer's label and annotation, as bench/webhook/peer has them. */
const peerLabel = 'peer-rate';
const peerAnnotation = 'peer.podrate.dev/egress';

/** Who admits the pods of a namespace, and how one sees on a created pod that it did. */
export interface Variant {
  readonly labels: Readonly<Record<string, string>>;
  /**
   * The key of the pods' rate label. What is not podrate's business must not have its label: it would be stamped late.
   */
  readonly label: string;
  /** What is in every answer to a create. */
  readonly expect: string;
}

/** The quota of a namespace that has one: more than all pods of a run. */
const quota = { 'podrate.dev/mode': 'enforce', 'podrate.dev/quota': '100000G' };

/** All ways in which a pod is admitted here. */
export const variants = {
  /** No webhook takes the pod. */
  none: { labels: {}, label: peerLabel, expect: '"phase":"Pending"' },
  /** Admission by podrate, in a namespace without a policy: one call, to mutate. */
  podrate: { labels: { [takerLabel]: 'podrate' }, label: defaultLabelKey, expect: stampAnnotation },
  /** The same in a namespace with a quota: one call to mutate, and one to validate, which waits for the ledger. */
  'podrate-quota': { labels: { [takerLabel]: 'podrate', ...quota }, label: defaultLabelKey, expect: stampAnnotation },
  /** The Go webhook, which mutates and is asked to validate: what it says is right, only it can tell. */
  peer: { labels: { [takerLabel]: 'peer' }, label: peerLabel, expect: peerAnnotation },
  /** The Go webhook, which only mutates, so that it is called as often as podrate. Nobody validates. */
  'peer-mutate': { labels: { [takerLabel]: 'peer-mutate' }, label: peerLabel, expect: peerAnnotation },
} as const satisfies Record<string, Variant>;

export type VariantName = keyof typeof variants;
