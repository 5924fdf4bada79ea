/** The last namespaces whose policy was to be changed, in the order in which that was announced. */
export interface Changes {
  /** How many changes were ever announced. */
  readonly serial: number;
  /** The namespaces of the last ones; the last of these has the serial. */
  readonly recent: readonly string[];
}

/** How many changes are kept: with the longest names, 32 kB. */
const kept = 500;

/** No change was announced. */
export const noChanges: Changes = { serial: 0, recent: [] };

/** Adds changes. */
export function addChanges({ serial, recent }: Changes, namespaces: readonly string[]): Changes {
  return { serial: serial + namespaces.length, recent: [...recent, ...namespaces].slice(-kept) };
}

/** The namespaces of the changes after a serial; undefined where not all of them are known. */
export function changesSince({ serial, recent }: Changes, known: number): readonly string[] | undefined {
  const count = serial - known;
  if (count < 0 || count > recent.length) return undefined;
  return count === 0 ? [] : recent.slice(-count);
}
