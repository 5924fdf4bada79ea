import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize, relative } from 'node:path';
import { expect, test } from 'vitest';

const root = new URL('../..', import.meta.url).pathname;
/** The most files that a room holds. */
const most = 12;

/** The source files of a program, relative to its directory. */
async function sourcesOf(program: string): Promise<string[]> {
  const names = await readdir(join(root, program), { recursive: true });
  return names.filter((name) => name.endsWith('.ts'));
}

/** The rooms that each room of a program imports, types too. */
async function importsOf(program: string): Promise<Map<string, Set<string>>> {
  const rooms = new Map<string, Set<string>>();
  for (const file of await sourcesOf(program)) {
    const text = await readFile(join(root, program, file), 'utf8');
    for (const [, path = ''] of text.matchAll(/from '(\.[^']*)'/g)) {
      const imported = normalize(join(dirname(file), path));
      const [from, to] = [roomOf(file), roomOf(imported)];
      if (imported.startsWith('..') || from === to) continue;
      rooms.set(from, (rooms.get(from) ?? new Set()).add(to));
    }
  }
  return rooms;
}

/** The first folder of a path, or the file itself where it is in none. */
function roomOf(file: string): string {
  return file.split('/')[0] ?? file;
}

test.each(['nodeagent', 'cli'])('the rooms of %s import each other in one direction', async (program) => {
  const imports = await importsOf(program);
  const lead = (from: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(from)) return [...path, from];
    for (const to of imports.get(from) ?? []) {
      const circle = lead(to, [...path, from]);
      if (circle !== undefined) return circle;
    }
    return undefined;
  };
  expect([...imports.keys()].map((room) => lead(room, [])).find((circle) => circle !== undefined)).toBeUndefined();
});

test.each(['nodeagent', 'cli', 'webhook', 'certs', 'kube', 'rate', 'bench', 'demo', 'test'])(
  'no room of %s holds more than a dozen files',
  async (program) => {
    const sizes = new Map<string, number>();
    for (const file of await sourcesOf(program)) sizes.set(dirname(file), (sizes.get(dirname(file)) ?? 0) + 1);
    expect([...sizes].filter(([, size]) => size > most)).toEqual([]);
  },
);

test('every file of nodeagent/ that its README names is there', async () => {
  const files = new Set(await sourcesOf('nodeagent'));
  const text = await readFile(join(root, 'nodeagent/README.md'), 'utf8');
  const named = [...text.matchAll(/(?<![\w/])((?:[a-z-]+\/)+[a-z-]+\.ts)/g)].map(([, file = '']) => file);
  expect(named.filter((file) => !files.has(relative('', file)))).toEqual([]);
});
