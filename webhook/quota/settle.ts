import type { Grant, Ledger } from './ledger.ts';
import type { Count } from './pod-table.ts';

/**
 * Takes the grants out of a ledger whose end a count shows; rule 2 in ledger.ts.
 * @param isExpired tells whether a grant can have no effect any more unless the count shows it; only a count that was begun after
 * the grant expired can be used with it
 */
export function settle(ledger: Ledger, count: Count, isExpired: (grant: Grant) => boolean): Ledger {
  let { settled } = ledger;
  const grants = ledger.grants.filter((grant) => {
    const pod = count.pod(grant.name);
    // An update replaces one version only. If the pod has a later one, the update is in it, or it failed and whatever is tried again
    // is another admission. The pod having the amounts would not do: it may have had them before it was lowered.
    if (pod?.uid === grant.uid && (grant.from === undefined || pod.version > grant.from)) {
      if (pod.version > settled) settled = pod.version;
      return false;
    }
    return !count.hasLeft(grant.uid, grant.from ?? -1n) && !isExpired(grant);
  });
  return { ...ledger, settled, grants };
}
