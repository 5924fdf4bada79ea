import type { Cgroup } from './state.ts';

/** Picks a few cgroups at a time, so that each has its turn. */
export function createTurns(count: number) {
  let last = -1n;
  return {
    next(cgroups: readonly (Cgroup | undefined)[]): Cgroup[] {
      const sorted = cgroups.filter((cgroup) => cgroup !== undefined).sort((one, other) => Number(one.id - other.id));
      const start = sorted.findIndex((cgroup) => cgroup.id > last);
      const picked = [...sorted.slice(Math.max(start, 0)), ...sorted.slice(0, Math.max(start, 0))].slice(0, count);
      last = picked.at(-1)?.id ?? last;
      return picked;
    },
  };
}
