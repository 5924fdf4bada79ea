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

/** What a source of certificates reports to. */
export interface CertificateSink {
  /** Called with each pair to serve. */
  readonly onPair: (pair: ServingPair) => void;
  /** Called with the reason why API servers may not trust the pair; undefined if they do. */
  readonly onTrust: (distrust: string | undefined) => void;
  readonly onFailure: (error: unknown, failuresInARow: number) => void;
}

/**
 * Reads `tls.crt` and `tls.key` from a folder, as a Secret volume has them. The server must never get a pair that is
 * half written or half replaced: every client would refuse it.
 * @throws Error that says what is wrong with them
 */
export async function loadPair(folder: string): Promise<ServingPair> {
  const [cert = '', key = ''] = await Promise.all(
    ['tls.crt', 'tls.key'].map((file) => readFile(join(folder, file), 'utf8')),
  );
  try {
    const isMatch = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
    if (!isMatch) throw new Error('they do not belong together');
    return servingPair(cert, key);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : cause;
    throw new Error(`${folder}/tls.crt and ${folder}/tls.key are no pair: ${reason}.`, { cause });
  }
}

/** Returns a pair with what its certificate says. Both are PEM. @throws if the certificate cannot be read */
export function servingPair(cert: string, key: string): ServingPair {
  const { validToDate, serialNumber } = new X509Certificate(cert);
  return { cert, key, expires: validToDate, serial: serialNumber };
}
