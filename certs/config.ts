import { parseArgs } from 'node:util';
import { serviceNames } from './names.ts';

/** The names of the shipped objects. */
export const authoritySecret = 'podrate-ca';
export const servingSecret = 'podrate-webhook-tls';
export const webhookConfiguration = 'podrate';

/** What the command line asks for. */
export interface Config {
  readonly command: 'files' | 'manifest' | 'install' | 'help';
  readonly out: string | undefined;
  readonly namespace: string;
  readonly dnsNames: readonly string[];
  /** Lives in days. */
  readonly authorityDays: number;
  readonly servingDays: number;
  readonly renew: boolean;
  readonly patienceMs: number;
  readonly kubeconfig: string | undefined;
}

/** A command line that cannot be followed. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'certs/usage';
}

/** What `--help` prints. */
export const help = `Usage: node certs/main.ts COMMAND [options]

Makes the webhook's certificate authority and serving certificate.

Commands:
  files      write ca.crt, ca.key, tls.crt and tls.key into the folder --out; what is there and good is kept
  manifest   print both Secrets for kubectl, with the caBundle as a comment
  install    make or renew the Secrets ${authoritySecret} and ${servingSecret} in the cluster and set the caBundle of the
             mutating and of the validating webhook configuration ${webhookConfiguration}; what is good is kept, so it can be
             run at any time

Options:
  --out DIR            folder for "files"
  --namespace NAME     namespace of the webhook's Service (podrate-system; $POD_NAMESPACE)
  --service NAME       name of the webhook's Service (podrate-webhook)
  --dns NAME           a further name of the serving certificate; may be repeated
  --days N             life of the serving certificate (365); renewed when less than a third is left
  --ca-days N          life of the authority (3650)
  --renew              make a new serving certificate even if the present one is good ("files" and "install")
  --patience SECONDS   how long "install" waits for the API server and the webhook configurations (60)
  --kubeconfig FILE    how "install" reaches the cluster; in a pod its service account is used
  -h, --help           this text

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not allowed by the cluster's RBAC, 4 the API server or an object was missing
to the end of the patience.
`;

/**
 * Reads the command line.
 * @throws UsageError
 */
export function readConfig(args: readonly string[], environment: Readonly<Record<string, string | undefined>>): Config {
  const { values, positionals } = parse(args);
  const command = values.help === true ? 'help' : positionals[0];
  if (command !== 'files' && command !== 'manifest' && command !== 'install' && command !== 'help') {
    throw new UsageError(command === undefined ? 'Name a command.' : `There is no command "${command}".`);
  }
  if (positionals.length > 1) throw new UsageError(`"${positionals[1]}" is one argument too many.`);
  if (command === 'files' && values.out === undefined) throw new UsageError('"files" needs --out DIR.');
  const kubeconfig = values.kubeconfig ?? environment.KUBECONFIG;
  if (command === 'install' && kubeconfig === undefined && environment.KUBERNETES_SERVICE_HOST === undefined) {
    throw new UsageError('"install" runs in a pod of the cluster; elsewhere it needs --kubeconfig FILE.');
  }
  const namespace = values.namespace ?? environment.POD_NAMESPACE ?? 'podrate-system';
  return {
    command,
    out: values.out,
    namespace,
    dnsNames: [...serviceNames(values.service ?? 'podrate-webhook', namespace), ...(values.dns ?? [])],
    authorityDays: positive('--ca-days', values['ca-days'] ?? '3650'),
    servingDays: positive('--days', values.days ?? '365'),
    renew: values.renew ?? false,
    patienceMs: positive('--patience', values.patience ?? '60') * 1000,
    kubeconfig,
  };
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        out: text,
        namespace: text,
        service: text,
        dns: { type: 'string', multiple: true },
        days: text,
        'ca-days': text,
        renew: { type: 'boolean' },
        patience: text,
        kubeconfig: text,
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 36_500) {
    throw new UsageError(`${option} must be a whole number from 1 to 36500, not "${text}".`);
  }
  return value;
}
