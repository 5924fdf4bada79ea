import { parseArgs } from 'node:util';

/** What `npm run bench -- --help` prints. */
export const help = `Compares podrate with what people limit pods with today, on this machine, and holds it against its bars.

  npm run bench -- --quick --json figures.json --html report.html
  npm run bench -- --only egress 10MB/s --not far --rounds 3
  npm run bench -- --list

Options:
  --quick          a choice of scenarios, one short round; less than four minutes
  --rounds N       how often each run is repeated; figures are medians (default: 5, with --quick 1)
  --only WORD…     only scenarios and peers with all these words in their names; --list shows the names
  --not WORD       none with this word in their names; can be given more than once
  --list           print what would run, and how long it would take
  --json FILE      write every figure of every run
  --html FILE      write the report: one page with tables and plots, nothing to load
  --pictures DIR   write the report's plots as SVG files
  -h, --help       print this

Needs root, Linux with TBF, HTB and IFB, Go, and a Debian-like machine; missing Debian packages are installed. Other work on the
machine disturbs the figures. docs/benchmark.md tells what is compared and what the figures mean.

Exit code: 0 when every bar is met, 1 when one is missed or a run failed, 2 for a wrong call, 130 when interrupted.`;

/** What the command line asks for. */
export interface BenchOptions {
  readonly quick: boolean;
  readonly rounds: number;
  readonly only: readonly string[];
  readonly not: readonly string[];
  readonly list: boolean;
  readonly help: boolean;
  readonly json?: string | undefined;
  readonly html?: string | undefined;
  readonly pictures?: string | undefined;
}

/** Reads the command line. @throws Error with a sentence that says what is wrong */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      not: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      json: { type: 'string' },
      html: { type: 'string' },
      pictures: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (positionals.length > 0 && values.only.length === 0) {
    throw new Error(`"${positionals[0]}" is no option; words that pick scenarios come after --only.`);
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
    throw new Error(`--rounds ${values.rounds} is not a whole number between 1 and 100.`);
  }
  return { ...values, rounds, only: wordsOf([...values.only, ...positionals]), not: wordsOf(values.not) };
}

// npm's and the shell's words may come as one.
function wordsOf(texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(/\s+/)).filter((word) => word !== '');
}
