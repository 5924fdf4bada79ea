import process from 'node:process';
import {
  authoritySecret,
  type Config,
  help,
  readConfig,
  servingSecret,
  UsageError,
  webhookConfiguration,
} from './config.ts';
import { authorityFiles, readPairFiles, servingFiles, writePairFiles } from './files.ts';
import { makeCertificates } from './make.ts';
import { formatManifest } from './manifest.ts';

const exitCodes = { failed: 1, usage: 2, forbidden: 3, unavailable: 4 };

async function main(): Promise<void> {
  const config = readConfig(process.argv.slice(2), process.env);
  switch (config.command) {
    case 'help':
      process.stdout.write(help);
      return;
    case 'files':
      return writeFiles(config, config.out ?? '');
    case 'manifest': {
      const made = await makeCertificates({ authority: undefined, serving: undefined, ...config, now: new Date() });
      const { namespace } = config;
      process.stdout.write(
        formatManifest({ ...made, authoritySecret, servingSecret, namespace, webhookConfiguration }),
      );
      return;
    }
    case 'install':
      return installInCluster(config);
  }
}

async function writeFiles(config: Config, folder: string): Promise<void> {
  const authority = await readPairFiles(folder, authorityFiles);
  const serving = await readPairFiles(folder, servingFiles);
  const made = await makeCertificates({ authority, serving, ...config, now: new Date() });
  if (made.authority !== authority) await writePairFiles(folder, authorityFiles, made.authority);
  if (made.serving !== serving) await writePairFiles(folder, servingFiles, made.serving);
  const verb = (kept: boolean) => (kept ? 'Kept' : 'Made');
  process.stdout.write(
    `${verb(made.authority === authority)} the authority ${folder}/${authorityFiles.certificate}.\n`,
  );
  process.stdout.write(
    `${verb(made.serving === serving)} the serving certificate ${folder}/${servingFiles.certificate}.\n`,
  );
}

async function installInCluster(config: Config): Promise<void> {
  // Loading the Kubernetes client takes a second, so only this command does.
  const [{ connect }, { certificateObjects }, { install }] = await Promise.all([
    import('./connect.ts'),
    import('./objects.ts'),
    import('./install.ts'),
  ]);
  const changes = await install({
    ...config,
    objects: certificateObjects(connect(config.kubeconfig), config.namespace),
    authoritySecret,
    servingSecret,
    webhookConfiguration,
    retryMs: 1_000,
    now: () => new Date(),
    say: (sentence) => process.stdout.write(`${sentence}\n`),
  });
  if (changes === 0) process.stdout.write('All certificates are good; nothing was changed.\n');
}

function exitCode(error: unknown): number {
  if (error instanceof UsageError) return exitCodes.usage;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'api/forbidden' || code === 'api/unauthorized') return exitCodes.forbidden;
  if (code === 'api/unavailable' || code === 'api/not-found' || code === 'api/conflict') return exitCodes.unavailable;
  return exitCodes.failed;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof UsageError) process.stderr.write('Try --help.\n');
  process.exitCode = exitCode(error);
}
