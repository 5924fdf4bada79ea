import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueAuthority, issueServing, type Pair } from '../../certs/issue.ts';

/** An authority and a serving certificate that it signed. */
export interface CertificateSet {
  readonly authority: Pair;
  readonly serving: Pair;
}

/** Issues a set that lives ten days. @param authority signs the certificate; a new one if not given */
export async function issueSet(dnsNames: readonly string[], authority?: Pair): Promise<CertificateSet> {
  const life = { now: new Date(), days: 10 };
  const signer = authority ?? (await issueAuthority({ commonName: 'test authority', ...life }));
  return { authority: signer, serving: await issueServing(signer, { dnsNames, ...life }) };
}

/** Writes a pair as `tls.crt` and `tls.key`, each file as a whole. The folder is made if need be. */
export async function writePair(folder: string, { certificate, key }: Pair): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [file, text] of Object.entries({ 'tls.key': key, 'tls.crt': certificate })) {
    await writeFile(join(folder, `${file}.new`), text, { mode: 0o600 });
    await rename(join(folder, `${file}.new`), join(folder, file));
  }
}
