/** Why a command could not be done; a stable name, for programs. */
export type CommandErrorCode =
  | 'cli/usage'
  | 'cli/no-cgroup'
  | 'cli/ambiguous'
  | 'cli/pod'
  | 'cli/not-limited'
  | 'cli/no-slot'
  | 'cli/no-namespace'
  | 'cli/no-queue'
  | 'cli/failed';

/** A command that was not done. The message says what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: CommandErrorCode;

  constructor(code: CommandErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
