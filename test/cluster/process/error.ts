/** Why a cluster could not be built, started or used. */
export type ClusterErrorCode =
  | 'cluster/missing-tool'
  | 'cluster/missing-package'
  | 'cluster/step-failed'
  | 'cluster/cancelled'
  | 'cluster/already-running'
  | 'cluster/not-running'
  | 'cluster/not-root'
  | 'cluster/not-ready';

/** What failed where, for a reader who has only this message. */
export interface ClusterErrorDetails {
  /** The step of the build or of the start, as given to `onProgress`. */
  step?: string;
  /** The command line that failed. */
  command?: string;
  /** The last lines that it wrote. */
  output?: string;
  /** The file with all that it wrote. */
  log?: string;
  cause?: unknown;
}

/** The one error of test/cluster: a code to branch on, and a message that says what to do next. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';
  readonly code: ClusterErrorCode;
  readonly step: string | undefined;
  readonly command: string | undefined;
  readonly output: string | undefined;
  readonly log: string | undefined;

  constructor(code: ClusterErrorCode, sentence: string, details: ClusterErrorDetails = {}) {
    super(describe(sentence, details), details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.step = details.step;
    this.command = details.command;
    this.output = details.output;
    this.log = details.log;
  }
}

function describe(sentence: string, { step, command, output, log }: ClusterErrorDetails): string {
  const lines = [step === undefined ? sentence : `${step}: ${sentence}`];
  if (command !== undefined) lines.push(`  command: ${command}`);
  if (output !== undefined && output !== '') lines.push(...output.split('\n').map((line) => `  | ${line}`));
  if (log !== undefined) lines.push(`  full log: ${log}`);
  return lines.join('\n');
}
