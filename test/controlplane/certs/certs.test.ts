import { describe, expect, test, vi } from 'vitest';
import { isTrusted } from '../../../certs/trust.ts';
import { issueSet } from '../../certs/pairs.ts';
import { counter, configurationKinds as kinds, soon } from '../harness/certificate-view.ts';
import { accountKubeconfig, applyManifests, podrateNamespace } from '../harness/installation.ts';
import { manifests, useTwoReplicas } from '../harness/two-replicas.ts';

const { cluster, replicas, stopReplicas, view, kubectl } = useTwoReplicas();
const decode = (text = '') => Buffer.from(text, 'base64').toString();
const encode = (text: string) => Buffer.from(text).toString('base64');
const foreignAuthority = async () => (await issueSet(['foreign'])).authority.certificate;
const repairs = async () => {
  const metric = 'podrate_webhook_ca_bundle_repairs_total';
  const [first, other] = await Promise.all(replicas.map((replica) => counter(replica, metric)));
  return (first ?? 0) + (other ?? 0);
};

/** The version of each shipped object; of those with a status, what their owner may write. */
async function applied(): Promise<string[]> {
  const { items } = await view.json('get', '-k', manifests);
  return items.map(
    ({ kind, metadata, status }: { kind: string; metadata: Record<string, string>; status?: object }) => {
      const { name, resourceVersion, generation } = metadata;
      return `${kind} ${name} ${status === undefined ? resourceVersion : generation}`;
    },
  );
}

describe('an installation', () => {
  test('has one authority, which all webhooks trust, though two replicas started at once', async () => {
    await view.expectOwnBundles();
    await view.expectServedBy(await view.authority());
    expect((await view.bundles())[0]?.match(/BEGIN/g)).toHaveLength(1);
    await vi.waitFor(async () => expect(await view.events('AuthorityIssued')).toHaveLength(1), soon);
    expect(await repairs()).toBe(0);
    expect(await view.isAnswered()).toBe(true);
  });

  test('differs in nothing from the manifests, and applying them again changes nothing', async () => {
    const state = async () => [await view.secret(), await view.bundles(), await applied()];
    const before = await state();
    expect(await kubectl('diff', '-k', manifests)).toMatchObject({ exitCode: 0, stdout: '' });
    await applyManifests(cluster());
    expect(await state()).toEqual(before);
    const serverSide = ['-k', manifests, '--server-side', '--force-conflicts'];
    await cluster().kubectl(['apply', ...serverSide]);
    expect(await kubectl('diff', ...serverSide)).toMatchObject({ exitCode: 0, stdout: '' });
    await applyManifests(cluster());
    expect((await state()).slice(0, 2)).toEqual(before.slice(0, 2));
    expect(await repairs()).toBe(0);
  });
});

describe('a caBundle that another program changed', () => {
  test.each<[string, () => Promise<string>, string[]]>([
    ['the one of another authority in both configurations', foreignAuthority, kinds],
    ['the one of another authority in the validating configuration', foreignAuthority, kinds.slice(1)],
    ['an empty one', async () => '', kinds],
  ])('is restored, with a metric and an event: %s', async (_, bundle, changed) => {
    const [count, { length }] = [await repairs(), await view.events('CABundleRepaired')];
    const text = await bundle();
    await Promise.all(changed.map((kind) => view.overwrite(kind, text)));
    await vi.waitFor(view.expectOwnBundles, soon);
    await vi.waitFor(async () => {
      expect(await repairs()).toBe(count + changed.length);
      expect(await view.events('CABundleRepaired')).toHaveLength(length + changed.length);
    }, soon);
    expect((await view.events('CABundleRepaired')).at(-1)).toContain('which another writer changed');
    expect(await view.isAnswered()).toBe(true);
  });

  test('is restored after the configurations were restored from a backup', async () => {
    const backups = await Promise.all(kinds.map((kind) => view.json('get', kind, 'podrate')));
    const former = (await view.bundles())[0] ?? '';
    const count = await repairs();
    // The authority that the backup trusts is gone by then.
    await view.deleteSecret();
    await vi.waitFor(
      async () => expect(isTrusted((await view.bundles())[0] ?? '', await view.authority())).toBe(true),
      soon,
    );
    await view.expectServedBy(await view.authority());
    for (const { metadata, ...backup } of backups) {
      const { name, labels } = metadata;
      await kubectl('delete', backup.kind.toLowerCase(), name);
      await cluster().kubectl(['create', '-f', '-'], {
        input: JSON.stringify({ ...backup, metadata: { name, labels } }),
      });
    }
    expect(former).not.toContain(await view.authority());
    await vi.waitFor(async () => expect(await repairs()).toBeGreaterThanOrEqual(count + 2), soon);
    await vi.waitFor(view.expectOwnBundles, soon);
    expect(await view.isAnswered()).toBe(true);
  });

  test('leaves no replica ready while the configurations do not exist', async () => {
    await kubectl('delete', 'validatingwebhookconfiguration', 'podrate');
    await vi.waitFor(
      () =>
        expect(replicas[0]?.page('/readyz')).rejects.toThrow('validatingwebhookconfigurations/podrate does not exist'),
      soon,
    );
    await applyManifests(cluster());
    await vi.waitFor(() => replicas[0]?.page('/readyz'), soon);
    await view.expectOwnBundles();
  });
});

describe('the Secret', () => {
  const damages: Record<string, object> = {
    emptied: { 'tls.crt': '', 'tls.key': '', 'ca.crt': '' },
    'half written': { 'tls.key': null },
    'of foreign content': { 'tls.crt': encode('foreign'), 'tls.key': encode('foreign'), 'ca.crt': encode('foreign') },
  };

  test.each(['deleted', ...Object.keys(damages)])(
    'is made anew when it is %s, without a failed admission',
    async (what) => {
      const former = await view.authority();
      const answers: boolean[] = [];
      let isRunning = true;
      const clients = Array.from({ length: 3 }, async () => {
        while (isRunning) answers.push(await view.isAnswered());
      });
      const patch = JSON.stringify({ data: { ...damages[what], note: encode('kept') } });
      if (what === 'deleted') await view.deleteSecret();
      else await cluster().kubectl(['patch', 'secret', 'podrate-webhook-ca', '-n', podrateNamespace, '-p', patch]);
      await vi.waitFor(async () => expect(await view.authority()).toContain('BEGIN CERTIFICATE'), soon);
      await vi.waitFor(async () => expect(await view.authority()).not.toBe(former), soon);
      await view.expectServedBy(await view.authority());
      isRunning = false;
      await Promise.all(clients);
      expect(answers.length).toBeGreaterThan(5);
      expect(answers).not.toContain(false);
      await view.expectOwnBundles();
      const [bundle = ''] = await view.bundles();
      expect(isTrusted(bundle, former)).toBe(true);
      const { data, metadata } = await view.secret();
      if (what !== 'deleted') expect(decode(data.note)).toBe('kept');
      const until = Date.parse(metadata.annotations['podrate.dev/former-trusted-until']);
      expect(until - Date.now()).toBeGreaterThan(23 * 3_600_000);
    },
  );

  test('is the only one that the webhook may touch, and may be created under no other name', async () => {
    const kubeconfig = await accountKubeconfig(cluster(), 'podrate-webhook');
    const as = ['--kubeconfig', kubeconfig, '-n', podrateNamespace];
    const other = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'other' } };
    const input = JSON.stringify(other);
    for (const args of [['create'], ['apply', '--server-side']]) {
      const { stderr } = await cluster().kubectl([...args, '-f', '-', ...as], { input, reject: false });
      expect(stderr).toContain('forbidden');
    }
    for (const verb of ['list', 'watch', 'delete']) {
      expect((await kubectl('auth', 'can-i', verb, 'secrets', ...as)).stdout.trim()).toBe('no');
    }
  });
});

test.each([-10, 10])(
  'with clocks that differ by ten minutes everything works (first replica: %i minutes)',
  async (minutes) => {
    await stopReplicas();
    await view.deleteSecret();
    const shifted = (by: number) => ({
      NODE_OPTIONS: `--import=${new URL('../harness/clock-shift.ts', import.meta.url).pathname}`,
      CLOCK_SHIFT_MS: String(by * 60_000),
    });
    for (const [index, replica] of replicas.entries()) await replica.start(shifted(index === 0 ? minutes : -minutes));
    await view.expectServedBy(await view.authority());
    const logged = Number(replicas[0]?.lines[0]?.time) - Date.now();
    expect(Math.abs(logged - minutes * 60_000)).toBeLessThan(60_000);
    for (let tries = 0; tries < 6; tries += 1) expect(await view.isAnswered()).toBe(true);
    const issued = replicas.flatMap(({ lines }) => lines.filter(({ change }) => change === 'authority-issued'));
    expect(issued).toHaveLength(1);
    await stopReplicas();
    await Promise.all(replicas.map((replica) => replica.start()));
  },
  180_000,
);

test('after all of this, the installation still differs in nothing from the manifests', async () => {
  expect(await kubectl('diff', '-k', manifests)).toMatchObject({ exitCode: 0, stdout: '' });
});
