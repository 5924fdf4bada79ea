import { join } from 'node:path';
import { directories } from '../../nodeagent/cgroup/tree.ts';
import { CommandError } from '../errors.ts';
import { containerIdOf, isRandomId } from './container-names.ts';

/** A directory of the cgroup tree that may be a container's. */
interface Container {
  readonly id: string;
  readonly path: string;
}

/** How many containers an error names. */
const maxNamed = 8;

/**
 * Finds the cgroup of a container by looking through the whole tree, whatever runtime made it and wherever it put it.
 * @param wanted the id in full, or the beginning of a random one
 * @param mount where the cgroup2 tree begins
 * @returns its directory
 * @throws CommandError if there is none, or if there are several
 */
export async function cgroupOfContainer(wanted: string, mount: string): Promise<string> {
  // The name of a container of the OCI; anything else, such as a path, is a mistake.
  if (!/^[\w+.-]+$/.test(wanted)) {
    throw new CommandError('cli/usage', `--container ${JSON.stringify(wanted)} is not the id of a container`);
  }
  const all = await containersBelow(mount);
  const exact = all.filter(({ id }) => id === wanted);
  const found = exact.length > 0 ? exact : all.filter(({ id }) => isRandomId(id) && id.startsWith(wanted));
  const [only, ...others] = found;
  if (only === undefined) throw unknown(wanted, all, mount);
  if (others.length > 0) {
    const remedy = exact.length > 0 ? 'name one of them with --cgroup DIR' : 'write more of the id';
    const paths = nameSome(found.map(({ path }) => path));
    throw new CommandError(
      'cli/ambiguous',
      `--container ${wanted} can be any of ${found.length} cgroups: ${remedy}\n${paths}`,
    );
  }
  return only.path;
}

/** Everything below a directory that may be a container, outermost first; Podman repeats an id inside of its own cgroup. */
async function containersBelow(parent: string, within: readonly string[] = []): Promise<Container[]> {
  const found: Container[] = [];
  for (const name of (await directories(parent)) ?? []) {
    const id = containerIdOf(name);
    const path = join(parent, name);
    if (id !== undefined && !within.includes(id)) found.push({ id, path });
    found.push(...(await containersBelow(path, id === undefined ? within : [...within, id])));
  }
  return found;
}

function unknown(wanted: string, all: readonly Container[], mount: string): CommandError {
  const ids = all.filter(({ id }) => isRandomId(id)).map(({ id }) => id);
  const running = ids.length === 0 ? '' : `\nContainers that run here:\n${nameSome(ids)}`;
  const advice = 'name its cgroup with --cgroup DIR, or one of its processes with --pid N';
  return new CommandError('cli/no-cgroup', `no cgroup below ${mount} has the id ${wanted}: ${advice}${running}`);
}

function nameSome(names: readonly string[]): string {
  const more = names.length > maxNamed ? [`and ${names.length - maxNamed} more`] : [];
  return [...names.slice(0, maxNamed), ...more].map((name) => `  ${name}`).join('\n');
}
