import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { copiedFiles } from './product-image.ts';

test('the files that make an image are those that its Dockerfile copies from the repository', async () => {
  const root = await mkdtemp(join(tmpdir(), 'podrate-dockerfile-'));
  await mkdir(join(root, 'bpf/part'), { recursive: true });
  for (const file of ['package.json', 'README.md', 'bpf/shaper.c', 'bpf/shaper.o', 'bpf/part/pacing.h']) {
    await writeFile(join(root, file), '');
  }
  const dockerfile = 'FROM base\nCOPY package.json ./\nCOPY bpf /src/bpf\nCOPY --from=base /README.md README.md\n';
  expect(await copiedFiles(dockerfile, root)).toEqual(['bpf/part/pacing.h', 'bpf/shaper.c', 'package.json']);
  await rm(root, { recursive: true });
});
