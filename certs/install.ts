import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from './api-error.ts';
import { issueAuthority, issueServing } from './certificates.ts';
import type { CertificateObjects } from './objects.ts';
import { nextStep } from './plan.ts';

/** What is to be installed, and where. */
export interface InstallOptions {
  readonly objects: CertificateObjects;
  readonly authoritySecret: string;
  readonly servingSecret: string;
  /** The name of both webhook configurations, the mutating and the validating one. */
  readonly webhookConfiguration: string;
  readonly dnsNames: readonly string[];
  /** Lives in days. */
  readonly authorityDays: number;
  readonly servingDays: number;
  /** Makes a new serving certificate even if the present one is good. */
  readonly renew: boolean;
  /** How long to go on trying while the API server is away or an object is missing, in milliseconds. */
  readonly patienceMs: number;
  /** The mean pause before the next try, in milliseconds; jitter is added. */
  readonly retryMs: number;
  /** The clock. */
  readonly now: () => Date;
  /** Called with one sentence for each thing done or waited for; never with a key. */
  readonly say: (sentence: string) => void;
}

/**
 * Makes the certificates in the cluster and the trust in them what they should be, and changes nothing that is good already. It
 * looks at everything, does the one next step, and looks again, so it can be stopped anywhere and run by several at once: a lost
 * race is a conflict, after which the winner's work is read.
 * @returns the number of changes
 * @throws ApiError when a call is not allowed or is refused, or when patience ran out
 */
export async function install(options: InstallOptions): Promise<number> {
  const { now, say, patienceMs, retryMs } = options;
  const giveUp = now().getTime() + patienceMs;
  let renew = options.renew;
  let changes = 0;
  let said = '';
  for (;;) {
    try {
      const done = await advance(options, renew);
      if (done === undefined) return changes;
      if (done === 'issue-serving') renew = false;
      changes += 1;
    } catch (error) {
      if (!(error instanceof ApiError) || !canPass(error) || now().getTime() >= giveUp) throw error;
      if (error.message !== said) say(`${error.message} Trying again.`);
      said = error.message;
      await delay(retryMs * (0.5 + Math.random()));
    }
  }
}

async function advance(options: InstallOptions, renew: boolean): Promise<string | undefined> {
  const { objects, authoritySecret, servingSecret, webhookConfiguration, dnsNames, say } = options;
  const now = options.now();
  const [authority, serving, configurations] = await Promise.all([
    objects.readPair(authoritySecret),
    objects.readPair(servingSecret),
    objects.readBundles(webhookConfiguration),
  ]);
  const bundles = configurations.flatMap((stored) => stored.bundles);
  const installed = { authority: authority?.pair, serving: serving?.pair, bundles };
  const step =
    nextStep(installed, dnsNames, now) ??
    (renew ? ({ kind: 'issue-serving', reason: 'a new serving certificate was asked for' } as const) : undefined);
  if (step === undefined) return undefined;

  if (step.kind === 'issue-authority') {
    const pair = await issueAuthority({ commonName: 'podrate webhook authority', now, days: options.authorityDays });
    await objects.writePair(authoritySecret, pair, undefined, authority);
    say(`Made a certificate authority in Secret ${authoritySecret}, because ${step.reason}.`);
  } else if (step.kind === 'publish-bundle') {
    const different = configurations.filter((stored) => stored.bundles.some((bundle) => bundle !== step.bundle));
    for (const stored of different) await objects.writeBundle(webhookConfiguration, step.bundle, stored);
    const names = different.map(({ resource }) => `${resource}/${webhookConfiguration}`).join(' and ');
    say(`Wrote the trusted bundle of ${names}, because ${step.reason}.`);
  } else if (authority !== undefined) {
    const pair = await issueServing(authority.pair, { dnsNames, now, days: options.servingDays });
    await objects.writePair(servingSecret, pair, authority.pair.certificate, serving);
    say(`Made a serving certificate in Secret ${servingSecret}, because ${step.reason}.`);
  }
  return step.kind;
}

// The webhook configurations may be applied a moment after the Job that runs this.
function canPass({ code }: ApiError): boolean {
  return code === 'api/conflict' || code === 'api/unavailable' || code === 'api/not-found';
}
