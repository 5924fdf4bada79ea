import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BpftoolError, bytesOf, createBpftool, hex } from '../../nodeagent/bpftool.ts';

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'podrate-bpftool-'));
  file = join(directory, 'bpftool');
});
afterEach(() => rm(directory, { recursive: true }));

/** A bpftool that prints what it is told, in place of what only a broken one or a broken kernel would print. */
async function fake(script: string, timeoutMs = 10_000) {
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
  return createBpftool({ file, timeoutMs });
}
const print = (text: string, status = 0) => `cat > ${directory}/stdin; printf '%s' '${text}'; exit ${status}`;

describe('one command', () => {
  test('gives its JSON, and is asked for JSON and never to mount anything', async () => {
    const bpftool = await fake(`echo "$@" > ${directory}/arguments; ${print('{"id":1}')}`);
    expect(await bpftool.run(['prog', 'show', 'id', '1'])).toEqual({ id: 1 });
    expect(await readFile(join(directory, 'arguments'), 'utf8')).toBe('--json --nomount prog show id 1\n');
  });

  test('that prints nothing gives null: so it does when nothing is attached', async () => {
    expect(await (await fake(print(''))).run(['cgroup', 'show', '/x'])).toBeNull();
  });

  test('that prints an error fails with it', async () => {
    const bpftool = await fake(print('{"error":"can not do"}', 255));
    await expect(bpftool.run(['map', 'show'])).rejects.toMatchObject({
      code: 'bpftool/refused',
      command: ['map', 'show'],
      message: 'bpftool map show: can not do',
    });
  });

  test('that fails without JSON fails with what it wrote', async () => {
    const bpftool = await fake('echo "libbpf: no such thing" >&2; exit 1');
    await expect(bpftool.run(['prog', 'load'])).rejects.toThrow('bpftool prog load: libbpf: no such thing');
  });

  test('that prints no JSON fails and shows what it printed', async () => {
    await expect((await fake(print('Segmentation'))).run(['version'])).rejects.toMatchObject({
      code: 'bpftool/output',
      message: 'bpftool printed what is not JSON: Segmentation',
    });
  });

  test('that does not end is ended', async () => {
    const bpftool = await fake('exec sleep 60', 100);
    await expect(bpftool.run(['version'])).rejects.toMatchObject({ code: 'bpftool/timeout' });
  });
});

describe('a program that cannot be run', () => {
  test('because it is missing is named, with the remedy', async () => {
    const bpftool = createBpftool({ file: join(directory, 'nothing'), timeoutMs: 1000 });
    await expect(bpftool.run(['version'])).rejects.toMatchObject({
      code: 'bpftool/missing',
      problem: `${directory}/nothing is not installed`,
      remedy: expect.stringContaining('apt-get install bpftool'),
    });
    await expect(bpftool.batch([['version']])).rejects.toThrow(BpftoolError);
  });

  test('because it may not be run is named too', async () => {
    await writeFile(file, '');
    await expect(createBpftool({ file, timeoutMs: 1000 }).run(['version'])).rejects.toMatchObject({
      code: 'bpftool/missing',
      problem: `${file} cannot be run (EACCES)`,
    });
  });
});

describe('a batch', () => {
  const entry = (output: string) => `{"command":["x"],"output":${output}}`;

  test('gives the output of each command, also where that is nothing', async () => {
    const bpftool = await fake(print(`[${entry('[1]')},${entry('')},${entry('null')}]`));
    expect(await bpftool.batch([['a'], ['b'], ['c']])).toEqual({ outputs: [[1], null, null] });
  });

  test('of no commands runs nothing', async () => {
    expect(await createBpftool({ file: '/nonexistent', timeoutMs: 1 }).batch([])).toEqual({ outputs: [] });
  });

  test('is given line by line, with names quoted that need it', async () => {
    const bpftool = await fake(print(`[${entry('null')},${entry('null')}]`));
    await bpftool.batch([
      ['map', 'update', 'key', ...hex(Uint8Array.of(0, 255))],
      ['cgroup', 'show', "/a b/it's"],
    ]);
    expect(await readFile(join(directory, 'stdin'), 'utf8')).toBe(
      'map update key hex 00 ff\ncgroup show "/a b/it\'s"\n',
    );
  });

  test.each(['/a#b', '/a"b', '/a\nb', '/a\\b', ''])('cannot be given the name %j, and is not run', async (name) => {
    const bpftool = await fake(print('[]'));
    await expect(bpftool.batch([['cgroup', 'show', name]])).rejects.toThrow('bpftool cannot be given the name');
  });

  test('that ends early names the command that failed and gives what was done before', async () => {
    const bpftool = await fake(print(`[${entry('1')},${entry('{"error":"update failed: File exists"}')}]`, 239));
    const { outputs, error } = await bpftool.batch([['a'], ['map', 'update'], ['c']]);
    expect(outputs).toEqual([1]);
    expect(error).toMatchObject({
      command: ['map', 'update'],
      message: 'bpftool map update: update failed: File exists',
    });
  });

  test('that exits with a stale error after all its commands went well has gone well', async () => {
    const bpftool = await fake(print(`[${entry('1')},{"error":"reading batch file failed: Invalid argument"}]`, 255));
    expect(await bpftool.batch([['a']])).toEqual({ outputs: [1] });
  });

  test('that is killed half-way names the command that it did not get to', async () => {
    const bpftool = await fake('echo "out of memory" >&2; exit 1');
    await expect(bpftool.batch([['a'], ['b']])).rejects.toThrow('out of memory');
  });
});

test('bytes are read as bpftool prints them, and nothing else is taken for bytes', () => {
  expect(bytesOf(['0x01', '0xff'])).toEqual(Uint8Array.of(1, 255));
  for (const printed of [undefined, 'x', ['1'], [1], ['0x1ff']]) expect(() => bytesOf(printed)).toThrow(BpftoolError);
});
