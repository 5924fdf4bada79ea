import { directions, type Limit } from '../rate/limit.ts';
import { parseRate, type Rate, RateError } from '../rate/rate.ts';
import { CommandError } from './errors.ts';

/** The options of a limit, as the user wrote them. */
export interface LimitOptions {
  readonly rate?: string | undefined;
  readonly egress?: string | undefined;
  readonly ingress?: string | undefined;
  readonly burst?: string | undefined;
}

/** The longest burst, in ms: one second of the rate. */
const maxBurstMs = 1000;

/** Reads the limit that the options ask for. @throws CommandError */
export function readLimit(options: LimitOptions): { limit: Limit; burstMs: number } {
  const limit: { egress?: Rate; ingress?: Rate } = {};
  for (const direction of directions) {
    const own = options[direction];
    const text = own ?? options.rate;
    if (text === undefined || text === 'none') continue;
    limit[direction] = readRate(own === undefined ? 'rate' : direction, text);
  }
  if (limit.egress === undefined && limit.ingress === undefined) {
    throw new CommandError(
      'cli/usage',
      'say what the limit is, such as --rate 1M; to take a limit off, use podrate detach',
    );
  }
  return { limit, burstMs: readBurst(options.burst) };
}

function readRate(flag: string, text: string): Rate {
  try {
    return parseRate(text);
  } catch (error) {
    if (error instanceof RateError) throw new CommandError('cli/usage', `--${flag} ${error.message}`, { cause: error });
    throw error;
  }
}

function readBurst(text: string | undefined): number {
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
