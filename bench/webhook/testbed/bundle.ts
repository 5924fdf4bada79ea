import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { parseAllDocuments } from 'yaml';

const root = new URL('../../..', import.meta.url).pathname;

/** Bundles the programs as the image's build does. */
export async function bundlePrograms(directory: string): Promise<void> {
  await execa('rolldown', ['--config', '--dir', directory], { cwd: root, preferLocal: true });
  // What makes the files modules; the image has it in the same place.
  await execa('cp', [join(root, 'package.json'), directory]);
}

/** How the shipped Deployment starts the webhook. */
export interface ShippedStart {
  /** What node is given: flags of V8, and the program. */
  readonly args: readonly string[];
  /** The variables whose values the manifest has. */
  readonly env: Readonly<Record<string, string>>;
}

/** Reads how the shipped Deployment starts the webhook. */
export async function shippedStart(): Promise<ShippedStart> {
  const documents = parseAllDocuments(await readFile(join(root, 'manifests/webhook.yaml'), 'utf8'));
  const deployment = documents.map((document) => document.toJS()).find((object) => object?.kind === 'Deployment');
  const container = deployment?.spec.template.spec.containers[0];
  const [program, ...args]: string[] = container?.command ?? [];
  if (program !== 'node')
    throw new Error('manifests/webhook.yaml does not start node; adapt bench/webhook/testbed/bundle.ts.');
  const variables: { name: string; value?: string }[] = container.env ?? [];
  const env = Object.fromEntries(variables.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])));
  return { args, env };
}
