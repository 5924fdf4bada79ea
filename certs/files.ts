import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pair } from './certificates.ts';

/** Where a pair lies in a folder. */
export interface PairFiles {
  readonly certificate: string;
  readonly key: string;
}

/** The files of the authority; its certificate is what clients trust. */
export const authorityFiles: PairFiles = { certificate: 'ca.crt', key: 'ca.key' };

/** The files of the serving pair, named as in a Kubernetes TLS Secret. */
export const servingFiles: PairFiles = { certificate: 'tls.crt', key: 'tls.key' };

/** Reads a pair from a folder; undefined if either file is missing. */
export async function readPairFiles(folder: string, files: PairFiles): Promise<Pair | undefined> {
  try {
    const [certificate, key] = await Promise.all(
      [files.certificate, files.key].map((file) => readFile(join(folder, file), 'utf8')),
    );
    return certificate === undefined || key === undefined ? undefined : { certificate, key };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Writes a pair into a folder, which is made if need be. The key is readable by its owner only. Each file is replaced as a whole;
 * the two are not replaced at one instant, so a reader must check that they belong together.
 */
export async function writePairFiles(folder: string, files: PairFiles, pair: Pair): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await replaceFile(join(folder, files.key), pair.key, 0o600);
  await replaceFile(join(folder, files.certificate), pair.certificate, 0o644);
}

async function replaceFile(path: string, content: string, mode: number): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writeFile(temporary, content, { mode, flag: 'wx' });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
