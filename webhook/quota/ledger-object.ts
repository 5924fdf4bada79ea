import { z } from 'zod';
import { directions } from '../../rate/limit.ts';
import { formatRate, type Rate } from '../../rate/rate.ts';
import { QuotaError } from './errors.ts';
import type { Ledger } from './ledger.ts';

/** The resource of ledgers, as manifests/quota.yaml defines it. */
export const ledgerResource = { group: 'podrate.dev', version: 'v1alpha1', plural: 'bandwidthledgers' } as const;

const version = z.string().regex(/^\d+$/).transform(BigInt);
const whole = z.number().int().min(0);
const fields = z.object({
  settled: version,
  serial: whole,
  hard: z.object({ egress: whole.exactOptional(), ingress: whole.exactOptional() }),
  used: z.object({ egress: whole, ingress: whole }),
  grants: z
    .array(
      z
        .object({
          name: z.string(),
          uid: z.string(),
          egress: whole.default(0),
          ingress: whole.default(0),
          from: version.optional(),
          serial: whole,
        })
        .transform(({ name, uid, egress, ingress, from, serial }) => ({
          ...{ name, uid, from, serial },
          amounts: { egress, ingress },
        })),
    )
    .default([]),
});

/**
 * Reads a ledger object.
 * @throws QuotaError if somebody made it what the webhook does not write
 */
export function readLedger(namespace: string, object: unknown): Ledger {
  const result = fields.safeParse(object);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new QuotaError(
    'quota/ledger',
    `The quota ledger of namespace ${namespace} cannot be read: ${issue?.path.join('.')}: ${issue?.message}; delete it and it is made anew: kubectl -n podrate-system delete bandwidthledger ${namespace}.`,
  );
}

/** Writes the fields of a ledger object, with one line per direction for `kubectl get`. */
export function writeLedger({ settled, serial, hard, used, grants }: Ledger): object {
  const shown = directions.map((direction) => [direction, line(used[direction], hard[direction])]);
  return {
    shown: Object.fromEntries(shown),
    ...{ hard, used, serial },
    settled: String(settled),
    grants: grants.map(({ name, uid, amounts, from, serial }) => ({
      ...{ name, uid, ...amounts, serial },
      ...(from === undefined ? {} : { from: String(from) }),
    })),
  };
}

function line(used: number, hard: number | undefined): string {
  return `${text(used)}/${hard === undefined ? 'none' : text(hard)}`;
}

// A sum may be outside of the bounds of a pod's rate; its form is the same.
function text(sum: number): string {
  return sum === 0 ? '0' : formatRate(sum as Rate);
}
