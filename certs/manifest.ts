import type { Pair } from './certificates.ts';

/** What the printed manifest is made of. */
export interface ManifestInput {
  readonly authority: Pair;
  readonly serving: Pair;
  readonly authoritySecret: string;
  readonly servingSecret: string;
  readonly namespace: string;
  readonly webhookConfiguration: string;
}

/**
 * Writes the two Secrets for `kubectl apply -f -`, and, as comments, the caBundle and where it belongs. The documents are JSON,
 * which is YAML too.
 */
export function formatManifest(input: ManifestInput): string {
  const { authority, serving, authoritySecret, servingSecret, namespace, webhookConfiguration } = input;
  const bundle = base64(authority.certificate);
  const secret = (name: string, data: Record<string, string>) =>
    JSON.stringify(
      { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name, namespace }, data },
      null,
      2,
    );
  return [
    '# Private keys: keep this out of version control.',
    `# caBundle: ${bundle}`,
    `# It belongs into each webhook of the mutating and of the validating webhook configuration ${webhookConfiguration}. Once these`,
    '# Secrets are applied, the command "install" puts it there and keeps them.',
    secret(authoritySecret, { 'tls.crt': bundle, 'tls.key': base64(authority.key) }),
    '---',
    secret(servingSecret, {
      'tls.crt': base64(serving.certificate),
      'tls.key': base64(serving.key),
      'ca.crt': bundle,
    }),
    '',
  ].join('\n');
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
