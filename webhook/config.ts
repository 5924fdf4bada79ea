import { parseArgs } from 'node:util';
import { z } from 'zod';
import { defaultLabelKey, KeyError, labelKeys } from '../rate/keys.ts';
import type { Limit } from '../rate/limit.ts';
import type { InstallationPolicy } from '../rate/policy.ts';
import { formatRate, parseRate, RateError } from '../rate/rate.ts';

/** A command line or an environment that cannot be used. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'webhook/config';
}

/** The text of `--help`. */
export const help = `Usage: node webhook/main.ts [options]

Answers admission reviews over HTTPS (POST /mutate and /validate, for namespaces with a policy with /policy behind it);
probes and metrics over HTTP (GET /healthz, /readyz, /metrics).

Options, each with its environment variable:
  --port N             HTTPS port (8443; $PODRATE_PORT)
  --http-port N        port for probes and metrics (8080; $PODRATE_HTTP_PORT)
  --tls-dir DIR        folder with tls.crt and tls.key of another program, such as cert-manager; read again when they change
                       (without it the webhook keeps an authority of its own in the cluster; $PODRATE_TLS_DIR)
  --tls-poll SECONDS   time between two checks of the certificate and of what trusts it (10; $PODRATE_TLS_POLL)
  --label-key KEY      label that carries the rate; -egress and -ingress are derived (${defaultLabelKey}; $PODRATE_LABEL_KEY)
  --default RATE       limit of pods without a rate label in namespaces with a policy that has none (no; $PODRATE_DEFAULT)
  --max RATE           largest rate of a pod in namespaces with a policy (no; $PODRATE_MAX)
  --bandwidth-annotations true  whether pods without a rate label are limited by kubernetes.io/egress-bandwidth and
                       kubernetes.io/ingress-bandwidth (false; $PODRATE_BANDWIDTH_ANNOTATIONS)
  --kubeconfig FILE    how the API server is found (the pod's service account; $PODRATE_KUBECONFIG)
  --namespace NAME     podrate's own namespace, about which it is never asked (podrate-system; $PODRATE_NAMESPACE)
  --request-timeout SECONDS  the API server's option of that name, if it has another one than usual (60; $PODRATE_REQUEST_TIMEOUT)
  --drain SECONDS      how long requests are served on after SIGTERM (10; $PODRATE_DRAIN)
  --log-level LEVEL    trace, debug, info, warn, error or silent (info; $PODRATE_LOG_LEVEL)
  -h, --help           this text

The label key is set for the whole installation in manifests/label-key.yaml.
Exit codes: 0 stopped by SIGTERM or SIGINT, 1 failed, 2 wrong usage.
`;

const port = z.coerce.number().int().min(0).max(65_535);
const seconds = z.coerce.number().positive().max(3_600);
/** A text that a parser of the domain reads. */
const parsed = <T>(parse: (text: string) => T) =>
  z.string().transform((text, { addIssue }) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof KeyError || error instanceof RateError)) throw error;
      addIssue({ code: 'custom', message: error.message.replace(/\.$/, '') });
      return z.NEVER;
    }
  });
const limit = parsed((text): Limit => {
  const rate = parseRate(text);
  return { egress: rate, ingress: rate };
});
const optionsSchema = z.object({
  port: port.default(8443),
  'http-port': port.default(8080),
  'tls-dir': z.string().min(1).optional(),
  'tls-poll': seconds.default(10),
  'label-key': parsed(labelKeys).prefault(defaultLabelKey),
  default: limit.default({}),
  max: limit.default({}),
  'bandwidth-annotations': z.enum(['true', 'false']).default('false'),
  kubeconfig: z.string().min(1).optional(),
  namespace: z.string().min(1).default('podrate-system'),
  'request-timeout': seconds.default(60),
  drain: z.coerce.number().min(0).max(3_600).default(10),
  'log-level': z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});
const names = Object.keys(optionsSchema.shape);

/**
 * Reads the command line, and the environment for options that it does not have.
 * @returns undefined if help was asked for
 * @throws ConfigError that names the option
 */
export function readConfig(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Config | undefined {
  const given = parse(args);
  if (given.help === true) return undefined;
  const fallback = names.map((name) => {
    const value = environment[`PODRATE_${name.toUpperCase().replaceAll('-', '_')}`];
    return [name, value === '' ? undefined : value];
  });
  const result = optionsSchema.safeParse({ ...Object.fromEntries(fallback), ...given });
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new ConfigError(`--${issue?.path.join('.')} is wrong: ${issue?.message}.`);
  }
  return settings(result.data);
}

/** The webhook's settings; times in milliseconds. */
export type Config = ReturnType<typeof settings>;

function settings(options: z.infer<typeof optionsSchema>) {
  return {
    port: options.port,
    httpPort: options['http-port'],
    /** The folder of another program's certificate; undefined: the webhook keeps its own. */
    tlsDir: options['tls-dir'],
    tlsPollMs: options['tls-poll'] * 1000,
    keys: options['label-key'],
    installation: installationOf(options),
    obeysBandwidth: options['bandwidth-annotations'] === 'true',
    /** Undefined: the service account of the pod. */
    kubeconfig: options.kubeconfig,
    /** podrate's own namespace, about which admission is never asked. */
    namespace: options.namespace,
    logLevel: options['log-level'],
    // An admitted request has taken effect after that, or never will: etcd may be late by some seconds with a write.
    requestLifeMs: options['request-timeout'] * 1500,
    /** How long requests are served on after SIGTERM. */
    drainMs: options.drain * 1000,
  };
}

function installationOf({ default: limit, max }: InstallationPolicy): InstallationPolicy {
  if (limit.egress !== undefined && max.egress !== undefined && limit.egress > max.egress) {
    throw new ConfigError(`--default is wrong: it is above --max; write ${formatRate(max.egress)} or less.`);
  }
  return { default: limit, max };
}

function parse(args: readonly string[]): Record<string, string | boolean | undefined> {
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' } as const]));
  try {
    return parseArgs({ args: [...args], options: { ...options, help: { type: 'boolean', short: 'h' } } }).values;
  } catch (error) {
    throw new ConfigError(error instanceof Error ? error.message : String(error));
  }
}
