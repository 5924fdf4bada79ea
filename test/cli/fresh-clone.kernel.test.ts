import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = new URL('../..', import.meta.url).pathname;
let clone: string;
// Without pins nothing stays attached.
const pins = `/sys/fs/bpf/podrate-test-clone-${process.pid}`;
const env = { PIN_DIR: pins };

beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), 'podrate-clone-'));
  await execa('sh', ['-c', `git ls-files -z | xargs -0 cp --parents -t '${clone}'`], { cwd: root });
  // The packages that are there, each by a link of its own, so that nothing is done to them; and not installed again.
  await mkdir(join(clone, 'node_modules'));
  for (const name of await readdir(join(root, 'node_modules'))) {
    await symlink(join(root, 'node_modules', name), join(clone, 'node_modules', name));
  }
  await rm(join(clone, 'node_modules/.installed-lock'), { force: true });
  const lock = await readFile(join(clone, 'package-lock.json'));
  await writeFile(join(clone, 'node_modules/.installed-lock'), createHash('sha256').update(lock).digest('hex'));
});
afterAll(() => Promise.all([clone, pins].map((path) => rm(path, { recursive: true, force: true }))));

test('the commands by hand work in a fresh clone, which builds the programs', async () => {
  const { stdout } = await execa('npm', ['run', '-s', 'podrate', '--', 'doctor', '--json'], {
    cwd: clone,
    reject: false,
  });
  const checks: { name: string; result: string }[] = JSON.parse(stdout);
  expect(checks.find(({ name }) => name === 'object')).toMatchObject({ result: 'ok' });
  const run = ['run', '-s', 'podrate', '--', 'run', '--rate', '1M', '--', 'echo', 'limited'];
  expect((await execa('npm', run, { cwd: clone, env })).stdout).toBe('limited');
});

test('a command that needs no programs runs where there is no compiler, and the others say how to get them', async () => {
  await rm(join(clone, 'bpf/shaper.bpf.o'), { force: true });
  const path = join(clone, 'node_modules/.bin');
  const tools = await mkdtemp(join(tmpdir(), 'podrate-tools-'));
  try {
    for (const tool of ['sh', 'cat', 'cut', 'dirname', 'sha256sum'])
      await symlink(`/usr/bin/${tool}`, join(tools, tool));
    const options = { cwd: clone, env: { ...env, PATH: `${path}:${tools}` }, extendEnv: false, reject: false } as const;
    const npm = (await execa('sh', ['-c', 'readlink -f "$(command -v npm)"'])).stdout;
    const podrate = async (...args: string[]) => {
      const input = 'apiVersion: v1\nkind: Pod\nmetadata: { name: web }\n';
      const started = execa(process.execPath, [npm, 'run', '-s', 'podrate', '--', ...args], { ...options, input });
      const { exitCode, stderr } = await started;
      return [exitCode, stderr];
    };
    expect(await podrate('admit', '-f', '-')).toEqual([0, '']);
    expect(await podrate('list')).toEqual([3, expect.stringContaining('install clang, make and libbpf-dev')]);
  } finally {
    await rm(tools, { recursive: true });
  }
});
