import type { ShaperConfig } from '../../nodeagent/config.ts';
import { factsOf } from '../../nodeagent/open-node.ts';
import { type Check, preflight } from '../../nodeagent/preflight/checks.ts';

/** Checks whether limits can be enforced on this machine, with the real programs. */
export async function doctor(config: ShaperConfig): Promise<Check[]> {
  return preflight(await factsOf(config, true));
}

/** Writes checks for people. */
export function formatChecks(checks: readonly Check[]): string {
  const words = { ok: 'ok     ', warning: 'warning', failed: 'FAILED ' };
  return checks
    .map(
      ({ result, found, remedy }) => `${words[result]}  ${found}${remedy === undefined ? '' : `\n         ${remedy}`}`,
    )
    .join('\n');
}
