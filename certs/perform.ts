import type { AuthoritySecret, StoredAuthority } from './authority-secret.ts';
import { issueAuthority, issueServing } from './issue.ts';
import type { Serving, Step } from './plan.ts';
import type { Registration, Registrations } from './registrations.ts';
import { desiredTrust, isTrusted, readBundle } from './trust.ts';

/** Something that was done, with a sentence for the log. */
export interface Change {
  readonly kind: 'authority-issued' | 'trust-changed' | 'bundle-published' | 'bundle-repaired' | 'certificate-issued';
  readonly message: string;
}

/** What a step is done with. */
export interface StepContext {
  readonly secret: AuthoritySecret;
  readonly registrations: Registrations;
  readonly dnsNames: readonly string[];
  /** The versions that the step was derived from. A write fails if they are no longer the present ones. */
  readonly stored: StoredAuthority | undefined;
  readonly found: readonly Registration[];
  /** The bundle that this replica last saw in all webhooks. */
  readonly lastInPlace: string | undefined;
  readonly now: Date;
  readonly onServing: (serving: Serving) => void;
  readonly onChange: (change: Change) => void;
}

/** Lives in days. An authority is replaced, and a certificate renewed, when a third of it is left. */
const authorityDays = 365;
const servingDays = 90;

/** Does one step. @returns false if another writer was first. @throws ApiFailure */
export async function perform(step: Step, context: StepContext): Promise<boolean> {
  switch (step.kind) {
    case 'issue-authority':
      return replaceAuthority(step, context);
    case 'change-trust':
      return changeTrust(step, context);
    case 'publish-bundle':
      return publish(step.bundle, context);
    case 'issue-serving':
      return issueCertificate(step.reason, context);
  }
}

async function replaceAuthority(
  { reason, inUse }: Extract<Step, { kind: 'issue-authority' }>,
  { secret, stored, now, onChange }: StepContext,
): Promise<boolean> {
  const pair = await issueAuthority({ commonName: 'podrate webhook authority', now, days: authorityDays });
  const present = { bundle: stored?.trust.bundle ?? '', formerUntil: undefined };
  const trust = desiredTrust({ authority: pair.certificate, present, inUse, now });
  const isDone = await secret.write({ pair, trust }, stored);
  if (isDone) onChange({ kind: 'authority-issued', message: `Issued a new authority, because ${reason}.` });
  return isDone;
}

async function changeTrust(
  { trust }: Extract<Step, { kind: 'change-trust' }>,
  { secret, stored, onChange }: StepContext,
): Promise<boolean> {
  if (stored === undefined) return false;
  const isDone = await secret.write({ pair: stored.pair, trust }, stored);
  const until = trust.formerUntil?.toISOString();
  const message =
    until === undefined ? 'Removed former authorities.' : `Former authorities are trusted until ${until}.`;
  if (isDone) onChange({ kind: 'trust-changed', message });
  return isDone;
}

async function publish(bundle: string, { registrations, found, lastInPlace, onChange }: StepContext): Promise<boolean> {
  const trusted = readBundle(bundle).map(String);
  const isForeign = (present: string) => present !== '' && !trusted.some((authority) => isTrusted(present, authority));
  let isDone = true;
  for (const registration of found) {
    const { resource, name, webhooks = [] } = registration;
    const wrong = webhooks.filter((webhook) => webhook.bundle !== bundle);
    if (wrong.length === 0) continue;
    if (!(await registrations.publish(registration, bundle))) {
      isDone = false;
      continue;
    }
    const isRepair = lastInPlace === bundle || wrong.some((webhook) => isForeign(webhook.bundle));
    const what = `caBundle of ${resource}/${name} (${wrong.length} of ${webhooks.length} webhooks)`;
    if (isRepair) onChange({ kind: 'bundle-repaired', message: `Restored the ${what}, which another writer changed.` });
    else onChange({ kind: 'bundle-published', message: `Wrote the ${what}.` });
  }
  return isDone;
}

async function issueCertificate(
  reason: string,
  { stored, dnsNames, now, onServing, onChange }: StepContext,
): Promise<boolean> {
  if (stored === undefined) return false;
  const pair = await issueServing(stored.pair, { dnsNames, now, days: servingDays });
  onServing({ pair, authority: stored.pair.certificate });
  onChange({ kind: 'certificate-issued', message: `Issued a serving certificate, because ${reason}.` });
  return true;
}
