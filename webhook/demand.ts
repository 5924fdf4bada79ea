/** A need that comes and goes, as somebody else sees it. */
export interface Demand {
  isThere(): boolean;
  /** Aborted when that changes next. */
  changed(): AbortSignal;
}

/** A need that can be told. */
export interface ToldDemand extends Demand {
  tell(isThere: boolean): void;
}

/** Builds a need that is not there yet. */
export function createDemand(): ToldDemand {
  let isThere = false;
  let change = new AbortController();
  return {
    isThere: () => isThere,
    changed: () => change.signal,
    tell(now) {
      if (now === isThere) return;
      isThere = now;
      const before = change;
      change = new AbortController();
      before.abort();
    },
  };
}
