import { createBatches, isAwaited } from '../batches.ts';
import type { Clock } from '../clock.ts';
import { freshReads } from '../fresh-reads.ts';
import type { SeenNamespace } from '../namespaces.ts';
import type { ChangeStore } from './change-store.ts';
import { addChanges, changesSince, noChanges } from './changes.ts';

// Parts of `leaseMs`. Clocks of replicas may differ in their pace, so that what is remembered is not used to the end of it; and a look begins
// early enough that a busy API server can take half of it to answer, before what is remembered may not be used any more.
const usedPart = 0.9;
const lookAgainPart = 0.4;

/** Times in milliseconds, and a number. */
export interface MemoryLimits {
  /** How long a look at the announced changes allows to use what is remembered, and an announced change waits. */
  readonly leaseMs: number;
  /** How long after an announcement the change can still take effect: longer than any request to the API server. */
  readonly effectMs: number;
  /** How long a namespace is remembered: the time after which a change that nobody announced counts. */
  readonly keepMs: number;
  /** How many namespaces are remembered. */
  readonly most: number;
  /** How long to try to announce where nobody can tell whether the answer is still waited for. */
  readonly patienceMs: number;
}

/** What the memory works with. */
export interface MemoryParts {
  /** Reads a namespace from the API server, not older than the call; undefined if there is none. */
  readonly read: (name: string) => Promise<SeenNamespace | undefined>;
  readonly store: ChangeStore;
  readonly clock: Clock;
  readonly limits: MemoryLimits;
  /** Told of each answer: whether what was remembered could be used at once, or the API server had to answer first. */
  readonly onRead: (from: 'memory' | 'api') => void;
  /** Called when the changes could not be looked at. Until they can, everything is read from the API server. */
  readonly onError: (error: unknown) => void;
}

/** Namespaces as they are now, mostly without asking for them. */
export interface PolicyMemory {
  /** A namespace's labels; undefined if there is no such namespace. No older than the call. @throws what reading throws */
  read(name: string): Promise<SeenNamespace['labels']>;
  /**
   * To be waited for before a change of a namespace's policy is admitted: afterwards no replica uses what it remembers of it.
   * @param signal aborted when nobody waits for it any more
   * @throws ApiFailure, or Error where that could not be had; then the change must not be admitted
   */
  announce(name: string, signal?: AbortSignal): Promise<void>;
}

/**
 * Builds a memory, so that an admission need not read its namespace from the API server, and yet sees the policy that was written
 * just before it, whichever replica admitted that:
 *
 * 1. Whoever admits a change first writes the namespace's name to the shared changes, then waits for `leaseMs`, and then answers. So
 *    the change is stored no sooner than `leaseMs` after its announcement.
 * 2. What is remembered is used only within nine tenths of `leaseMs` after a look at the changes began. If that look was too early to
 *    show an announcement, it has lapsed before the change is stored.
 * 3. A look that shows an announcement has the namespace forgotten, and read from the API server for `effectMs`, by when the change
 *    has been stored or never will be. What is remembered after that was read after it.
 * 4. Who has not seen all changes, because it has just started or was away, forgets and reads everything for as long.
 *
 * Only durations count, each measured by one replica's own clock, so clocks may differ. Looks are made only while somebody asks.
 */
export function createPolicyMemory(parts: MemoryParts): PolicyMemory {
  const { store, clock, limits, onRead, onError } = parts;
  const remembered = new Map<string, { readonly seen: SeenNamespace; readonly sinceMs: number }>();
  const changingUntilMs = new Map<string, number>();
  let allChangingUntilMs = Number.POSITIVE_INFINITY;
  let lookedMs = Number.NEGATIVE_INFINITY;
  let last: { readonly uid: string | undefined; readonly serial: number } | undefined;
  let looking: Promise<void> | undefined;

  const isChanging = (name: string) =>
    clock.nowMs() < Math.max(allChangingUntilMs, changingUntilMs.get(name) ?? Number.NEGATIVE_INFINITY);

  /**
   * Makes the record where there is none. If the first change did that, it would have everything be read anew for `effectMs`: who sees a new
   * record cannot know what was announced in one before it.
   */
  const readRecord = async () => {
    const stored = await store.read();
    if (stored !== undefined) return stored;
    await store.write(noChanges, undefined);
    return store.read();
  };
  const look = async () => {
    const begunMs = clock.nowMs();
    const stored = await readRecord();
    const changes = stored?.changes ?? noChanges;
    const names = last !== undefined && last.uid === stored?.uid ? changesSince(changes, last.serial) : undefined;
    const untilMs = clock.nowMs() + limits.effectMs;
    if (names === undefined) {
      remembered.clear();
      allChangingUntilMs = untilMs;
    }
    for (const name of names ?? []) {
      remembered.delete(name);
      changingUntilMs.set(name, untilMs);
    }
    for (const [name, endMs] of changingUntilMs) if (endMs <= clock.nowMs()) changingUntilMs.delete(name);
    last = { uid: stored?.uid, serial: changes.serial };
    lookedMs = begunMs;
  };
  const lookSoon = () => {
    if (looking !== undefined) return;
    looking = look()
      .catch(onError)
      .finally(() => {
        looking = undefined;
      });
  };

  const recall = (name: string) => {
    const found = remembered.get(name);
    const nowMs = clock.nowMs();
    const isCurrent = nowMs < lookedMs + usedPart * limits.leaseMs && !isChanging(name);
    return isCurrent && found !== undefined && nowMs < found.sinceMs + limits.keepMs ? found.seen : undefined;
  };
  const readNow = async (name: string) => {
    const sinceMs = clock.nowMs();
    const wasChanging = isChanging(name);
    const seen = await parts.read(name);
    remembered.delete(name);
    if (seen === undefined || seen.isEnding || wasChanging || isChanging(name)) return seen;
    const [oldest] = remembered.keys();
    if (remembered.size >= limits.most && oldest !== undefined) remembered.delete(oldest);
    remembered.set(name, { seen, sinceMs });
    return seen;
  };
  // Who asks while a read is under way needs a newer one, unless what that one has remembered may be used by then.
  const readInTurn = freshReads(async (name: string) => recall(name) ?? readNow(name));
  /**
   * The next read, or what is remembered if the look that is under way allows to use it before that. It mostly does, because it began
   * earlier. Where an API server is so busy that a look took too long, all who ask wait here.
   */
  const readSoon = (name: string): Promise<SeenNamespace | undefined> =>
    new Promise((resolve, reject) => {
      readInTurn(name).then(resolve, reject);
      void looking?.then(() => {
        const found = recall(name);
        if (found !== undefined) resolve(found);
      });
    });

  const announcements = createBatches<string, true>(async (_, entries) => {
    const untilMs = clock.nowMs() + limits.patienceMs;
    const isPatient = () => clock.nowMs() <= untilMs;
    const names = entries.map(({ item }) => item);
    while (entries.some((entry) => isAwaited(entry, isPatient))) {
      const stored = await store.read();
      if (await store.write(addChanges(stored?.changes ?? noChanges, names), stored)) return names.map(() => true);
    }
    throw new Error('The change of a policy could not be announced to the other replicas: others did so at each try.');
  });

  return {
    async read(name) {
      if (clock.nowMs() >= lookedMs + lookAgainPart * limits.leaseMs) lookSoon();
      const found = recall(name);
      onRead(found === undefined ? 'api' : 'memory');
      return (found ?? (await readSoon(name)))?.labels;
    },
    async announce(name, signal) {
      await announcements.add('', name, signal);
      await clock.sleep(limits.leaseMs);
    },
  };
}
