import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { issueAuthority, issueServing, type Pair } from '../../certs/issue.ts';
import { serviceNames } from '../../certs/names.ts';

const now = new Date('2026-03-01T12:00:00Z');
const dnsNames = [...serviceNames('podrate-webhook', 'podrate-system'), 'localhost'];
let authority: Pair;
let serving: Pair;

beforeAll(async () => {
  authority = await issueAuthority({ commonName: 'test authority', now, days: 3650 });
  serving = await issueServing(authority, { dnsNames, now, days: 365 });
});

describe('an authority', () => {
  test('is self-signed, may sign certificates, and lives as long as requested from an hour ago', () => {
    const certificate = new X509Certificate(authority.certificate);
    expect(certificate.ca).toBe(true);
    expect(certificate.checkIssued(certificate)).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(authority.key))).toBe(true);
    expect(certificate.validToDate).toEqual(new Date('2036-02-27T12:00:00Z'));
    expect(certificate.validFromDate).toEqual(new Date('2026-03-01T11:00:00Z'));
  });

  test('has a unique serial number', async () => {
    const other = await issueAuthority({ commonName: 'test authority', now, days: 3650 });
    const serials = [authority, other, serving].map(({ certificate }) => new X509Certificate(certificate).serialNumber);
    expect(new Set(serials).size).toBe(3);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });
});

describe('a serving certificate', () => {
  test('is signed by the authority, for TLS servers only, and for every name of the Service', () => {
    const certificate = new X509Certificate(serving.certificate);
    const issuer = new X509Certificate(authority.certificate);
    expect(certificate.ca).toBe(false);
    expect(certificate.checkIssued(issuer)).toBe(true);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
    expect(certificate.checkPrivateKey(createPrivateKey(serving.key))).toBe(true);
    for (const name of [
      'podrate-webhook',
      'podrate-webhook.podrate-system',
      'podrate-webhook.podrate-system.svc',
      'podrate-webhook.podrate-system.svc.cluster.local',
    ]) {
      expect(certificate.checkHost(name)).toBe(name);
    }
    expect(certificate.checkHost('podrate-webhook.other.svc')).toBeUndefined();
  });

  test('never outlives its authority', async () => {
    const short = await issueAuthority({ commonName: 'short', now, days: 10 });
    const pair = await issueServing(short, { dnsNames, now, days: 365 });
    const end = ({ certificate }: Pair) => new X509Certificate(certificate).validToDate;
    expect(end(pair)).toEqual(end(short));
  });

  test('takes a first name that is too long for a common name', async () => {
    const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.svc`;
    const pair = await issueServing(authority, { dnsNames: [long], now, days: 1 });
    expect(new X509Certificate(pair.certificate).checkHost(long)).toBe(long);
  });

  test('passes a TLS handshake with a client that trusts the authority, and with no other', async () => {
    const present = new Date();
    const trusted = await issueAuthority({ commonName: 'trusted', now: present, days: 1 });
    const other = await issueAuthority({ commonName: 'other', now: present, days: 1 });
    const pair = await issueServing(trusted, { dnsNames, now: present, days: 1 });
    const server = createServer({ cert: pair.certificate, key: pair.key });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const shake = (ca: string, servername: string) =>
      new Promise<boolean>((resolve) => {
        const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca, servername }, () => {
          resolve(socket.authorized);
          socket.destroy();
        });
        socket.on('error', () => resolve(false));
      });
    expect(await shake(trusted.certificate, 'podrate-webhook.podrate-system.svc')).toBe(true);
    expect(await shake(other.certificate, 'podrate-webhook.podrate-system.svc')).toBe(false);
    expect(await shake(trusted.certificate, 'elsewhere.svc')).toBe(false);
    await new Promise((resolve) => server.close(resolve));
  });
});
