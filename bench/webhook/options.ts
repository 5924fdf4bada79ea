import { parseArgs } from 'node:util';

/** What `npm run bench:webhook -- --help` prints. */
export const help = `Measures the admission webhook on a real API server, beside a minimal Go webhook, and holds it against its bars.

  npm run bench:webhook -- --quick --json figures.json
  npm run bench:webhook -- --only 'pods, 1 client' --rounds 9
  npm run bench:webhook

Options:
  --quick       fewer requests, two rounds, 2,000 instead of 10,000 pods and reviews by the ten thousand; some minutes
  --rounds N    how often everything is repeated (default: 5, with --quick 2)
  --only NAME   only scenarios with this in their names, and their bars; can be given more than once
  --json FILE   write every figure of every run
  -h, --help    print this

Needs root, Go, and a Debian-like machine; missing Debian packages are installed. Kubernetes is built from source the first
time. Other work on the machine disturbs the figures. docs/benchmark.md tells what is compared and what the figures mean.

Exit code: 0 when every bar is met, 1 when one is missed or a run failed, 2 for a wrong call, 130 when interrupted.`;

/** What the command line asks for. */
export interface WebhookBenchOptions {
  readonly quick: boolean;
  readonly rounds: number;
  /** Parts of scenarios' names; empty for all. */
  readonly only: readonly string[];
  readonly help: boolean;
  readonly json?: string | undefined;
}

/** Reads the command line. @throws Error with a sentence that says what is wrong */
export function parseOptions(args: readonly string[]): WebhookBenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      json: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 2 : 5));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
    throw new Error(`--rounds ${values.rounds} is not a whole number between 1 and 100.`);
  }
  return { ...values, rounds };
}
