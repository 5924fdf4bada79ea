import type { Dscp } from '../../rate/dscp.ts';
import { directions, isLimited, type Limit } from '../../rate/limit.ts';
import { parseRate, type Rate, RateError } from '../../rate/rate.ts';
import { CommandError } from '../errors.ts';
import { type MarkOptions, readDscp } from './mark.ts';

/** The options of a limit, as the user wrote them. */
export interface LimitOptions extends MarkOptions {
  readonly rate?: string | undefined;
  readonly egress?: string | undefined;
  readonly ingress?: string | undefined;
  readonly burst?: string | undefined;
  /** Whether what is received must go through a queue, or must not. */
  readonly 'ingress-queue'?: boolean | undefined;
}

/** The longest burst, in ms: one second of the rate. */
const maxBurstMs = 1000;

/** Reads the limit that the options ask for, which must be one, or none at all beside a mark. @throws CommandError */
export function readLimit(options: LimitOptions): { limit: Limit; burstMs: number; dscp: Dscp | undefined } {
  const limit = readRates(options);
  const dscp = readDscp(options);
  if (!isLimited(limit) && dscp === undefined) throw noLimit();
  return { limit, burstMs: readBurst(options.burst), dscp };
}

/** Refuses a queue without a rate that it could have. @throws CommandError */
export function requireIngress(queue: boolean | undefined, ingress: number | undefined): void {
  if (!queue || ingress) return;
  throw new CommandError('cli/usage', '--ingress-queue needs a limit of what is received, such as --ingress 1M');
}

/** The error for options that leave no limit at all. */
export function noLimit(): CommandError {
  const message = 'say what the limit is, such as --rate 1M; to take a limit off, use podrate detach';
  return new CommandError('cli/usage', message);
}

/** Reads the rates that the options ask for; a direction that is `none` or not said has none. @throws CommandError */
export function readRates(options: LimitOptions): Limit {
  const limit: { egress?: Rate; ingress?: Rate } = {};
  for (const direction of directions) {
    const own = options[direction];
    const text = own ?? options.rate;
    if (text === undefined || text === 'none') continue;
    limit[direction] = readRate(own === undefined ? 'rate' : direction, text);
  }
  return limit;
}

function readRate(flag: string, text: string): Rate {
  try {
    return parseRate(text);
  } catch (error) {
    if (error instanceof RateError) throw new CommandError('cli/usage', `--${flag} ${error.message}`, { cause: error });
    throw error;
  }
}

/** Reads a burst, in ms; 0, the shaper's default, where none is said. @throws CommandError */
export function readBurst(text: string | undefined): number {
  if (text === undefined) return 0;
  const burstMs = Number(text);
  if (!/^\d+$/.test(text) || burstMs < 1 || burstMs > maxBurstMs) {
    throw new CommandError(
      'cli/usage',
      `--burst ${JSON.stringify(text)} is not a whole number of milliseconds from 1 to ${maxBurstMs}`,
    );
  }
  return burstMs;
}
