import type { Figures } from './figures/definitions.ts';
import type { Run } from './plan.ts';
import { formatDuration, formatValue } from './report/format.ts';

/** One line for a run that is done. */
export function progressLine(
  run: Run,
  done: number,
  total: number,
  seconds: number,
  figures: Figures | string,
): string {
  const left = formatDuration((seconds / done) * (total - done));
  const place = `[${String(done).padStart(String(total).length)}/${total}, ${left} left]`;
  return `${place} ${run.scenario.name}, ${run.peer}: ${typeof figures === 'string' ? `FAILED, ${figures}` : brief(figures)}`;
}

function brief(figures: Figures): string {
  const said = (['ip', 'ping', 'resent', 'request', 'attach'] as const).filter((name) => figures[name] !== undefined);
  const units: Partial<Record<string, string>> = { ping: ' ms', resent: ' %', request: ' ms', attach: ' ms' };
  return said.map((name) => `${name} ${formatValue(figures[name])}${units[name] ?? ''}`).join(', ');
}
