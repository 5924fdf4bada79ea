import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandContext, runCommand } from '../process/command.ts';
import { ClusterError } from '../process/error.ts';

/** A Debian release by its code name. */
export type Suite = 'bullseye' | 'bookworm' | 'trixie';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * The apt sources (one-line style) of a Debian release, with updates and security fixes, from the mirrors that this machine
 * uses for itself.
 * Throws a ClusterError if it uses none.
 */
export async function debianSources(suite: Suite): Promise<string> {
  const configured = await configuredUris('/etc/apt');
  const find = (name: string) => {
    const found = configured.find((uri) => uri.replace(/\/$/, '').endsWith(`/${name}`));
    if (found !== undefined) return found;
    throw new ClusterError(
      'cluster/missing-package',
      `no source in /etc/apt ends in /${name}, so packages for the node cannot be fetched: add a Debian mirror to /etc/apt/sources.list.`,
    );
  };
  const mirror = find('debian');
  const security = find('debian-security');
  const line = (uri: string, name: string) => `deb [signed-by=${KEYRING}] ${uri} ${name} main\n`;
  return line(mirror, suite) + line(mirror, `${suite}-updates`) + line(security, `${suite}-security`);
}

async function configuredUris(directory: string): Promise<string[]> {
  const parts = join(directory, 'sources.list.d');
  const files = await readdir(parts).catch(() => []);
  const uris: string[] = [];
  for (const file of [join(directory, 'sources.list'), ...files.map((name) => join(parts, name))]) {
    const text = await readFile(file, 'utf8').catch(() => '');
    for (const [uri] of text.replaceAll(/^#.*$/gm, '').matchAll(/\bhttps?:\/\/\S+/g)) uris.push(uri);
  }
  return uris;
}

/** Package lists of one Debian release in a directory of its own: the machine's own lists and packages are not touched. */
export interface Apt {
  /** Names of the direct dependencies of a package. */
  dependencies(name: string): Promise<string[]>;
  /** Downloads the packages and unpacks them, without installing them, into a directory. */
  unpack(names: readonly string[], into: string): Promise<void>;
}

/** Fetches the package lists of a release into `directory`. */
export async function openApt(suite: Suite, directory: string, context: CommandContext): Promise<Apt> {
  for (const part of ['lists/partial', 'archives/partial']) await mkdir(join(directory, part), { recursive: true });
  await writeFile(join(directory, 'status'), '');
  await writeFile(join(directory, 'sources.list'), await debianSources(suite));
  const settings = {
    'Dir::Etc::sourcelist': join(directory, 'sources.list'),
    'Dir::Etc::sourceparts': '-',
    'Dir::State::lists': join(directory, 'lists'),
    'Dir::State::status': join(directory, 'status'),
    'Dir::Cache': directory,
    // The directory belongs to root; apt's download user could not write there.
    'APT::Sandbox::User': 'root',
    'Acquire::Retries': '3',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  await runCommand(context, 'apt-get', [...options, 'update', '-q']);
  return {
    async dependencies(name) {
      const text = await runCommand(context, 'apt-cache', [...options, 'depends', name]);
      return [...text.matchAll(/^\s*Depends: (\S+)/gm)].map((match) => String(match[1]));
    },
    async unpack(names, into) {
      const archives = join(directory, 'archives');
      await runCommand(context, 'apt-get', [...options, 'download', '-q', ...names], { cwd: archives });
      for (const file of await readdir(archives)) {
        if (file.endsWith('.deb')) await runCommand(context, 'dpkg-deb', ['-x', join(archives, file), into]);
      }
    },
  };
}
