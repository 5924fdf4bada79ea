/** Objects of manifests, as kubectl reads them. */
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { parseAllDocuments, type Tags } from 'yaml';
import { z } from 'zod';
import { CommandError } from '../errors.ts';

const objectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string().nullish(), namespace: z.string().nullish() }).default({}),
});

/** An object of a manifest, with all that it has. */
export type ManifestObject = z.infer<typeof objectSchema>;

type Wrong = (reason: string) => Error;

// kubectl reads YAML 1.1 (sigs.k8s.io/yaml): merge keys, and yes and no as booleans. Of what that has beside, it takes
// times and numbers to the base 60 for text.
const options = {
  schema: 'yaml-1.1',
  merge: true,
  customTags: (tags: Tags): Tags =>
    tags.filter((tag) => typeof tag === 'string' || !(tag.format === 'TIME' || tag.tag.endsWith(':timestamp'))),
} as const;

/**
 * Reads the objects of a file of YAML documents or JSON, those of lists too: `List`, and typed ones such as PodList,
 * whose items may leave out what they are. `-` is standard input.
 * @throws CommandError
 */
export async function readManifests(path: string): Promise<ManifestObject[]> {
  return parseManifests(await readText(path), path);
}

/** Reads the objects of a text. @param path its name in errors @throws CommandError */
export function parseManifests(text: string, path: string): ManifestObject[] {
  return parseAllDocuments(text, options).flatMap((document, index) => {
    const wrong: Wrong = (reason) => new CommandError('cli/usage', `${path}: document ${index + 1} ${reason}`);
    const [error] = document.errors;
    if (error !== undefined) throw wrong(`is no YAML: ${error.message.split('\n')[0]}`);
    const value = toValue(document, wrong);
    return value === null ? [] : readObjects(value, {}, wrong);
  });
}

function toValue(document: { toJS(): unknown }, wrong: Wrong): unknown {
  try {
    return document.toJS();
  } catch (error) {
    // Aliases that stand for more than a reader should hold.
    throw wrong(`is no YAML: ${error instanceof Error ? error.message : error}`);
  }
}

function readObjects(value: unknown, inherited: object, wrong: Wrong): ManifestObject[] {
  const result = objectSchema.safeParse(isObject(value) ? { ...inherited, ...value } : value);
  if (!result.success) throw wrong('is no Kubernetes object: write apiVersion, kind and metadata');
  const { apiVersion, kind, items } = result.data;
  if (!kind.endsWith('List') || !Array.isArray(items)) return [result.data];
  const of = kind === 'List' ? {} : { apiVersion, kind: kind.slice(0, -'List'.length) };
  return items.flatMap((item) => readObjects(item, of, wrong));
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function readText(path: string): Promise<string> {
  try {
    // Not /dev/stdin, which cannot be opened where it is a socket.
    return await (path === '-' ? text(process.stdin) : readFile(path, 'utf8'));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError('cli/usage', `${path} cannot be read: ${reason}`, { cause });
  }
}
