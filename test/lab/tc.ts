import { execa } from 'execa';

/** Runs commands of tc in order in a network namespace, up to the first that fails. */
export async function tcBatch(namespace: string, commands: readonly string[]): Promise<void> {
  await execa('nsenter', [`--net=${namespace}`, 'tc', '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

/** Runs a command of tc in a network namespace. @returns its JSON output */
export async function tcShow(namespace: string, command: string): Promise<unknown> {
  const { stdout } = await execa('nsenter', [`--net=${namespace}`, 'tc', '-json', ...command.split(' ')]);
  return JSON.parse(stdout || '[]');
}
