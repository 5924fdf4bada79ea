import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { CommandError } from '../errors.ts';

const objectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string().nullish(), namespace: z.string().nullish() }).default({}),
});

/** An object of a manifest, with all that it has. */
export type ManifestObject = z.infer<typeof objectSchema>;

/** Reads the objects of a file of YAML documents or JSON, those of Lists too; `-` is standard input. @throws CommandError */
export async function readManifests(path: string): Promise<ManifestObject[]> {
  const text = await readText(path);
  return parseAllDocuments(text).flatMap((document, index) => {
    const wrong = (reason: string) => new CommandError('cli/usage', `${path}: document ${index + 1} ${reason}`);
    const [error] = document.errors;
    if (error !== undefined) throw wrong(`is no YAML: ${error.message.split('\n')[0]}`);
    const value: unknown = document.toJS();
    return value === null ? [] : readObjects(value, wrong);
  });
}

function readObjects(value: unknown, wrong: (reason: string) => Error): ManifestObject[] {
  const result = objectSchema.safeParse(value);
  if (!result.success) throw wrong('is no Kubernetes object: write apiVersion, kind and metadata');
  const { kind, items } = result.data;
  return kind === 'List' && Array.isArray(items) ? items.flatMap((item) => readObjects(item, wrong)) : [result.data];
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path === '-' ? '/dev/stdin' : path, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError('cli/usage', `${path} cannot be read: ${reason}`, { cause });
  }
}
