import { createHash, generateKeyPair, randomBytes, sign as signBytes } from 'node:crypto';
import { promisify } from 'node:util';
import forge from 'node-forge';

/** A certificate and its private key, both PEM. */
export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

/** The parameters of a certificate authority. */
export interface AuthorityRequest {
  readonly commonName: string;
  /** The time of issue. */
  readonly now: Date;
  /** Life in days. */
  readonly days: number;
}

/** The parameters of a serving certificate. */
export interface ServingRequest {
  /** The names that it is valid for; the first is also its common name. */
  readonly dnsNames: readonly string[];
  /** The time of issue. */
  readonly now: Date;
  /** Life in days; the certificate never outlives its authority. */
  readonly days: number;
}

const organization = 'podrate';
const msPerDay = 86_400_000;
// The clocks of a cluster's machines differ.
const backdateMs = 60 * 60_000;

/**
 * Issues a self-signed certificate authority with a new RSA key. It may sign certificates and no further authorities.
 */
export async function issueAuthority({ commonName, now, days }: AuthorityRequest): Promise<Pair> {
  const keys = await generateRsaKeys();
  const certificate = blank(
    forge.pki.publicKeyFromPem(keys.publicKey),
    now,
    new Date(now.getTime() + days * msPerDay),
    commonName,
  );
  certificate.setIssuer(certificate.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: keyIdentifier(certificate) },
  ]);
  return sign(certificate, keys.privateKey, keys.privateKey);
}

/**
 * Issues a certificate for a TLS server, signed by an authority. Its key is on the curve P-256: API servers open a
 * connection for each of many concurrent requests, and with an RSA key a handshake would cost the webhook several times
 * as much.
 */
export async function issueServing(authority: Pair, { dnsNames, now, days }: ServingRequest): Promise<Pair> {
  const keys = await generateCurveKeys();
  const issuer = forge.pki.certificateFromPem(authority.certificate);
  const end = Math.min(now.getTime() + days * msPerDay, issuer.validity.notAfter.getTime());
  // A common name is limited to 64 characters (RFC 5280, ub-common-name); clients read the alternative names only.
  const certificate = blank(issuer.publicKey, now, new Date(end), (dnsNames[0] ?? organization).slice(0, 64));
  certificate.setIssuer(issuer.subject.attributes);
  // The bits of the point, without the algorithm (RFC 5280, 4.2.1.2).
  const identifier = createHash('sha1').update(keys.publicKey.subarray(-65)).digest('binary');
  certificate.generateSubjectKeyIdentifier = () => forge.util.createBuffer(identifier);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: keyIdentifier(issuer) },
    { name: 'subjectAltName', altNames: dnsNames.map((value) => ({ type: 2, value })) },
  ]);
  const draft = sign(certificate, keys.privateKey, authority.key);
  return { ...draft, certificate: withPublicKey(certificate, keys.publicKey, authority.key) };
}

/**
 * Replaces the public key of a signed certificate and signs it again: node-forge knows RSA keys only.
 * @param publicKey DER, SubjectPublicKeyInfo
 * @returns PEM
 */
function withPublicKey(certificate: forge.pki.Certificate, publicKey: Buffer, signingKey: string): string {
  const whole = forge.pki.certificateToAsn1(certificate);
  const [signed, , signature] = whole.value as [forge.asn1.Asn1, forge.asn1.Asn1, forge.asn1.Asn1];
  // The seventh field (RFC 5280, 4.1): version, serial number, signature algorithm, issuer, validity, subject, key.
  (signed.value as forge.asn1.Asn1[])[6] = forge.asn1.fromDer(publicKey.toString('binary'));
  const bytes = Buffer.from(forge.asn1.toDer(signed).getBytes(), 'binary');
  // A bit string begins with the number of unused bits of its last byte.
  signature.value = `\0${signBytes('sha256', bytes, signingKey).toString('binary')}`;
  const body = forge.asn1.toDer(whole).getBytes();
  return forge.pem.encode({ type: 'CERTIFICATE', body }).replaceAll('\r', '');
}

async function generateCurveKeys(): Promise<{ publicKey: Buffer; privateKey: string }> {
  return promisify(generateKeyPair)('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

// node:crypto generates keys off the event loop; node-forge would block it for up to a second.
async function generateRsaKeys(): Promise<{ publicKey: string; privateKey: string }> {
  return promisify(generateKeyPair)('rsa', {
    modulusLength: 2048,
    publicExponent: 0x10001,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

function blank(publicKey: forge.pki.PublicKey, now: Date, notAfter: Date, commonName: string): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = publicKey;
  certificate.serialNumber = serialNumber();
  certificate.validity.notBefore = new Date(now.getTime() - backdateMs);
  certificate.validity.notAfter = notAfter;
  certificate.setSubject([
    { name: 'organizationName', value: organization },
    { name: 'commonName', value: commonName },
  ]);
  return certificate;
}

// 128 random bits as a positive number without a leading zero byte (RFC 5280 4.1.2.2: positive, unique, at most 20
// octets).
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes.readUInt8(0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function keyIdentifier(certificate: forge.pki.Certificate): string {
  return certificate.generateSubjectKeyIdentifier().getBytes();
}

function sign(certificate: forge.pki.Certificate, ownKey: string, signingKey: string): Pair {
  certificate.sign(forge.pki.privateKeyFromPem(signingKey), forge.md.sha256.create());
  return { certificate: forge.pki.certificateToPem(certificate).replaceAll('\r', ''), key: ownKey };
}
