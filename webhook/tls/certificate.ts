import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A certificate and its private key that were found to belong together. */
export interface ServingPair {
  /** PEM; the server's certificate first, then its chain. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  readonly expires: Date;
  /** The serial number, hexadecimal, for the log. */
  readonly serial: string;
}

/** Files that hold no usable pair. The message names them and says what is wrong. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  readonly code: 'certificate/missing' | 'certificate/unreadable' | 'certificate/mismatch';

  constructor(code: CertificateError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/**
 * Reads `tls.crt` and `tls.key` from a folder, as a Secret volume has them, and checks them. A pair that is half written or half
 * replaced must never reach the server: it would be refused by every client, or throw.
 * @throws CertificateError
 */
export async function loadPair(folder: string): Promise<ServingPair> {
  const [cert, key] = await Promise.all(['tls.crt', 'tls.key'].map((file) => read(join(folder, file))));
  if (cert === undefined || key === undefined) throw missing(folder);
  const { certificate, matches } = inspect(folder, cert, key);
  if (!matches) {
    throw new CertificateError(
      'certificate/mismatch',
      `${folder}/tls.crt and ${folder}/tls.key do not belong together.`,
    );
  }
  return { cert, key, expires: certificate.validToDate, serial: certificate.serialNumber };
}

function inspect(folder: string, cert: string, key: string): { certificate: X509Certificate; matches: boolean } {
  try {
    const certificate = new X509Certificate(cert);
    return { certificate, matches: certificate.checkPrivateKey(createPrivateKey(key)) };
  } catch (cause) {
    const message = `${folder}/tls.crt or ${folder}/tls.key is not PEM that can be read.`;
    throw new CertificateError('certificate/unreadable', message, cause);
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new CertificateError('certificate/unreadable', `${path} cannot be read.`, cause);
  }
}

function missing(folder: string): CertificateError {
  return new CertificateError(
    'certificate/missing',
    `${folder} has no tls.crt and tls.key yet; the podrate-certs Job makes them, see kubectl -n podrate-system logs job/podrate-certs.`,
  );
}
