/** The condition `podrate.dev/Limited`, as far as the API server is concerned. */

/** The part of a pod condition that says something. */
export interface LimitedCondition {
  readonly status: 'True' | 'False';
  /** CamelCase, for programs. */
  readonly reason:
    | 'InForce'
    | 'InvalidStamp'
    | 'AttachFailed'
    | 'NoFreeSlot'
    | 'NoCgroup'
    | 'NoProcess'
    | 'Sandboxed'
    | 'NotMarked'
    | 'NoLimit'
    | 'Uninstalled';
  /** One sentence, for people. */
  readonly message: string;
}

/** What a pod is told that no longer asks for a limit. */
export const noLimitCondition: LimitedCondition = {
  status: 'False',
  reason: 'NoLimit',
  message: 'The pod asks for no limit, and none is in force.',
};

/** What a pod is told whose limit was taken off with everything else on its node. */
export const uninstalledCondition: LimitedCondition = {
  status: 'False',
  reason: 'Uninstalled',
  message: 'The limit is not in force: podrate was taken off the node.',
};
