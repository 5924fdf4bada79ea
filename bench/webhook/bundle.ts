import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { parseAllDocuments } from 'yaml';

const root = new URL('../..', import.meta.url).pathname;

/** Bundles the programs as the image's build does. */
export async function bundlePrograms(directory: string): Promise<void> {
  await execa('rolldown', ['--config', '--dir', directory], { cwd: root, preferLocal: true });
  // What makes the files modules; the image has it in the same place.
  await execa('cp', [join(root, 'package.json'), directory]);
}

/** The arguments that the shipped Deployment gives to node: flags of V8, and the program. */
export async function shippedArguments(): Promise<string[]> {
  const documents = parseAllDocuments(await readFile(join(root, 'manifests/webhook.yaml'), 'utf8'));
  const deployment = documents.map((document) => document.toJS()).find((object) => object?.kind === 'Deployment');
  const [program, ...args]: string[] = deployment?.spec.template.spec.containers[0].command ?? [];
  if (program !== 'node') throw new Error('manifests/webhook.yaml does not start node; adapt bench/webhook/bundle.ts.');
  return args;
}
