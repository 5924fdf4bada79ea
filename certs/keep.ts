import type { AuthoritySecret } from './authority-secret.ts';
import type { Pair } from './issue.ts';
import { type Change, perform } from './perform.ts';
import { nextStep, type Serving } from './plan.ts';
import type { Registration, Registrations } from './registrations.ts';
import { isTrusted } from './trust.ts';

/** How a replica keeps its certificate. */
export interface KeepOptions {
  readonly secret: AuthoritySecret;
  readonly registrations: Registrations;
  readonly dnsNames: readonly string[];
  /** The time between two checks of the Secret and the webhook configurations, in milliseconds. */
  readonly intervalMs: number;
  readonly now: () => Date;
  /** Waits; resolves early when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** Called with each certificate to serve. */
  readonly onCertificate: (pair: Pair) => void;
  /** Called with the reason why API servers may not trust the certificate; undefined if all trust it. */
  readonly onTrust: (distrust: string | undefined) => void;
  readonly onChange: (change: Change) => void;
  readonly onFailure: (error: unknown, failuresInARow: number) => void;
}

/** A changed caBundle must reach every API server before a certificate of a new authority is served. */
const settleIntervals = 3;
/** From nothing to a trusted certificate there are three steps; other replicas may get in between. */
const maxSteps = 30;
const raceMs = 200;
const retryMs = 500;

/**
 * Keeps a trusted serving certificate until the signal is aborted: makes the authority that all replicas share, signs
 * this replica's certificate, renews both, and keeps the caBundle of the webhook configurations. It observes
 * everything, does the one next step, and observes again. So it may be stopped anywhere, and any number of replicas may
 * do it at once.
 */
export async function keepCertificate(options: KeepOptions): Promise<void> {
  const { intervalMs, sleep, random, signal, onFailure } = options;
  const settle = settler(options);
  let failures = 0;
  while (!signal.aborted) {
    try {
      await settle();
      failures = 0;
      await sleep(intervalMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      onFailure(error, failures);
      await sleep(Math.min(intervalMs, retryMs * failures) * (0.5 + random()), signal);
    }
  }
}

/** Builds the function that does step after step until nothing is left to do. It throws ApiFailure. */
function settler(options: KeepOptions): () => Promise<void> {
  const { secret, registrations, dnsNames, intervalMs, now: clock, sleep, random, signal } = options;
  let serving: Serving | undefined;
  let lastInPlace: string | undefined;
  let trustedSince: Date | undefined;
  const onServing = (issued: Serving) => {
    serving = issued;
    options.onCertificate(issued.pair);
  };

  return async () => {
    for (let steps = 0; steps < maxSteps && !signal.aborted; steps += 1) {
      const now = clock();
      // In this order: a bundle that another replica published is never newer than the Secret that is read after it.
      const found = await registrations.read();
      const stored = await secret.read();
      const bundles = found.flatMap(({ webhooks = [] }) => webhooks.map(({ bundle }) => bundle));
      if (serving !== undefined) options.onTrust(distrust(found, serving.authority));

      const desired = stored?.trust.bundle;
      const isInPlace = bundles.length > 0 && bundles.every((bundle) => bundle === desired);
      if (!isInPlace || lastInPlace !== desired) trustedSince = undefined;
      if (isInPlace) {
        trustedSince ??= now;
        lastInPlace = desired;
      }

      const required = { dnsNames, settleMs: settleIntervals * intervalMs, now };
      const step = nextStep({ shared: stored, serving, bundles, trustedSince }, required);
      if (step === undefined) return;
      const { onChange } = options;
      const context = { secret, registrations, dnsNames, stored, found, lastInPlace, now, onServing, onChange };
      if (!(await perform(step, context))) await sleep(raceMs * random(), signal);
    }
    if (!signal.aborted) throw new Error('The certificates did not settle: something else changes them all the time.');
  };
}

/** Returns why API servers may not trust certificates of an authority. */
function distrust(found: readonly Registration[], authority: string): string | undefined {
  for (const { resource, name, webhooks } of found) {
    if (webhooks === undefined) return `${resource}/${name} does not exist: apply the manifests`;
    if (!webhooks.every(({ bundle }) => isTrusted(bundle, authority))) {
      return `the caBundle of ${resource}/${name} does not trust the certificate`;
    }
  }
  return undefined;
}
