import { type Direction, directions } from '../../rate/limit.ts';

/** Bytes per second in each direction: of one pod, or of several together. */
export type Amounts = Readonly<Record<Direction, number>>;

/** No bytes. */
export const nothing: Amounts = { egress: 0, ingress: 0 };

/** Amounts of which some may be absent, which counts as nothing: a direction without a limit is not in a sum. */
export function amountsOf(limit: Readonly<Partial<Amounts>> | undefined): Amounts {
  return { egress: limit?.egress ?? 0, ingress: limit?.ingress ?? 0 };
}

/** The sum in each direction. */
export function plus(one: Amounts, other: Amounts): Amounts {
  return { egress: one.egress + other.egress, ingress: one.ingress + other.ingress };
}

/** The difference in each direction. */
export function minus(one: Amounts, other: Amounts): Amounts {
  return { egress: one.egress - other.egress, ingress: one.ingress - other.ingress };
}

/** The larger one in each direction. */
export function larger(one: Amounts, other: Amounts): Amounts {
  return { egress: Math.max(one.egress, other.egress), ingress: Math.max(one.ingress, other.ingress) };
}

/** Reports whether both are the same in both directions. */
export function isSame(one: Amounts, other: Amounts): boolean {
  return directions.every((direction) => one[direction] === other[direction]);
}
