import { type CommandContext, runCommand } from '../process/command.ts';

/**
 * Writes an ext4 image with the content of a directory, without mounting anything. `size` is as mke2fs takes it ("3G"); the
 * file is sparse. No journal: every run throws away what it wrote.
 */
export async function writeExt4(
  context: CommandContext,
  { tree, image, size }: { tree: string; image: string; size: string },
): Promise<void> {
  const features = '^has_journal,^metadata_csum';
  await runCommand(context, 'mke2fs', ['-q', '-F', '-t', 'ext4', '-O', features, '-m', '0', '-d', tree, image, size]);
}
