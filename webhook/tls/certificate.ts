import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A certificate and its private key. */
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
 * Reads `tls.crt` and `tls.key` from a folder, as a Secret volume has them. The server must never get a pair that is
 * half written or half replaced: every client would refuse it.
 * @throws CertificateError
 */
export async function loadPair(folder: string): Promise<ServingPair> {
  const [cert, key] = await Promise.all(['tls.crt', 'tls.key'].map((file) => read(join(folder, file))));
  if (cert === undefined || key === undefined) {
    throw new CertificateError('certificate/missing', `${folder} has no tls.crt and tls.key yet.`);
  }
  let pair: ServingPair;
  let isMatch: boolean;
  try {
    pair = servingPair(cert, key);
    isMatch = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    const message = `${folder}/tls.crt or ${folder}/tls.key is not PEM that can be read.`;
    throw new CertificateError('certificate/unreadable', message, cause);
  }
  if (isMatch) return pair;
  const message = `${folder}/tls.crt and ${folder}/tls.key do not belong together.`;
  throw new CertificateError('certificate/mismatch', message);
}

/** Returns a pair with what its certificate says. Both are PEM. @throws if the certificate cannot be read */
export function servingPair(cert: string, key: string): ServingPair {
  const { validToDate, serialNumber } = new X509Certificate(cert);
  return { cert, key, expires: validToDate, serial: serialNumber };
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new CertificateError('certificate/unreadable', `${path} cannot be read.`, cause);
  }
}
