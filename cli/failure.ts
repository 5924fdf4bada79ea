/** How a command that was not done ends. */
import { ConfigError } from '../nodeagent/config.ts';
import { PreflightError } from '../nodeagent/open-node.ts';
import { CommandError } from './errors.ts';

/** The exit status for an error: 1 failed, 2 wrong usage, 3 the machine lacks something. */
export function exitStatus(error: unknown): number {
  if (error instanceof PreflightError) return 3;
  if (error instanceof ConfigError || (error instanceof CommandError && error.code === 'cli/usage')) return 2;
  return 1;
}

/** Writes an error for people, or as JSON for programs. */
export function formatFailure(error: unknown, json: boolean): string {
  const message = error instanceof Error ? error.message : String(error);
  if (!json) return `podrate: ${message}`;
  const isKnown = error instanceof PreflightError || error instanceof ConfigError || error instanceof CommandError;
  return JSON.stringify({ error: { code: isKnown ? error.code : 'cli/failed', message } }, null, 2);
}

/** Whether the arguments ask for JSON; asked before they are read, because reading them may be what fails. */
export function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end === -1 ? args.length : end).includes('--json');
}
