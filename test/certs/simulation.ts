import { X509Certificate } from 'node:crypto';
import { expect } from 'vitest';
import type { AuthoritySecret, StoredAuthority } from '../../certs/authority-secret.ts';
import { keepCertificate } from '../../certs/keep.ts';
import type { Change } from '../../certs/perform.ts';
import type { SharedAuthority } from '../../certs/plan.ts';
import type { Registration, Registrations } from '../../certs/registrations.ts';
import { readBundle } from '../../certs/trust.ts';

/** One replica, as its callbacks saw it. */
export interface SimulatedReplica {
  /** The certificate that it serves, PEM. */
  certificate: string | undefined;
  /** Why it is not ready. */
  distrust: string | undefined;
  readonly changes: Change[];
  readonly failures: unknown[];
}

type Webhooks = NonNullable<Registration['webhooks']>;

const kinds = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'] as const;
const intervalMs = 10_000;

/** Returns whether clients with any of the bundles accept the certificate of a replica. */
export function isTrustedBy(bundles: readonly string[], { certificate = '' }: SimulatedReplica): boolean {
  const served = new X509Certificate(certificate);
  return bundles.every((bundle) => readBundle(bundle).some((authority) => served.verify(authority.publicKey)));
}

/**
 * The steps of a replica are calls to the API server and waits. It is parked at each of them until the simulation goes
 * on.
 */
interface Parked {
  /** Undefined for a call. */
  readonly wakeAt: number | undefined;
  readonly resume: () => void;
}

/**
 * A cluster with one Secret and two webhook configurations, in simulated time. Replicas take turns at every call, in an
 * order that `pick` chooses, so that any race can happen. Writes are compare-and-swap, as with an API server.
 */
export class Simulation {
  time = Date.parse('2026-03-01T12:00:00Z');
  stored: SharedAuthority | undefined;
  webhooks: (Webhooks | undefined)[] = kinds.map(() => [
    { name: 'pods.podrate.dev', bundle: '' },
    { name: 'templates.podrate.dev', bundle: '' },
  ]);
  /** Returns the error of a call, by its name. */
  fault: (call: string) => Error | undefined = () => undefined;
  /** Called after each call and each wait. */
  check: () => void = () => {};
  readonly replicas: SimulatedReplica[] = [];
  readonly #stop = new AbortController();
  readonly #parked = new Map<SimulatedReplica, Parked>();
  readonly #pick: (count: number) => number;
  readonly #ended: Promise<void>[] = [];

  constructor(pick: (count: number) => number = () => 0) {
    this.#pick = pick;
  }

  /** Starts a replica. @param skewMs how far its clock is ahead */
  start(skewMs = 0): SimulatedReplica {
    const replica: SimulatedReplica = {
      certificate: undefined,
      distrust: 'not checked yet',
      changes: [],
      failures: [],
    };
    this.replicas.push(replica);
    const { secret, registrations } = this.#access(replica);
    this.#ended.push(
      keepCertificate({
        secret,
        registrations,
        dnsNames: ['podrate-webhook.podrate-system.svc'],
        intervalMs,
        now: () => new Date(this.time + skewMs),
        sleep: (ms) => this.#park(replica, this.time + ms),
        random: () => 0.5,
        signal: this.#stop.signal,
        onCertificate: ({ certificate }) => {
          replica.certificate = certificate;
        },
        onTrust: (distrust) => {
          replica.distrust = distrust;
        },
        onChange: (change) => replica.changes.push(change),
        onFailure: (error) => replica.failures.push(error),
      }),
    );
    return replica;
  }

  /** Lets time pass. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      while (this.#parked.size < this.replicas.length) await new Promise((resolve) => setImmediate(resolve));
      const calls = [...this.#parked].filter(([, { wakeAt }]) => wakeAt === undefined);
      const next = calls[this.#pick(calls.length)] ?? this.#earliest();
      if (next === undefined) break;
      const [replica, { wakeAt, resume }] = next;
      if (wakeAt !== undefined && wakeAt > end) break;
      if (wakeAt !== undefined) this.time = Math.max(this.time, wakeAt);
      this.#parked.delete(replica);
      resume();
      await new Promise((resolve) => setImmediate(resolve));
      this.check();
    }
    this.time = end;
  }

  /** All bundles of both configurations. */
  get bundles(): string[] {
    return this.webhooks.flatMap((list) => (list ?? []).map(({ bundle }) => bundle));
  }

  /** The changes of a kind that the replicas reported. */
  changes(kind: Change['kind']): Change[] {
    return this.replicas.flatMap(({ changes }) => changes.filter((change) => change.kind === kind));
  }

  /** Expects that all webhooks trust what the Secret says, and that this includes what each replica serves. */
  expectSettled(): void {
    expect(new Set(this.bundles)).toEqual(new Set([this.stored?.trust.bundle]));
    for (const replica of this.replicas) {
      expect(replica).toMatchObject({ distrust: undefined, failures: [] });
      expect(isTrustedBy(this.bundles, replica)).toBe(true);
    }
  }

  /** Writes a bundle into all webhooks of the configurations of some kinds, as another writer. */
  overwrite(bundle: string, ...indexes: number[]): void {
    for (const index of indexes) {
      this.webhooks[index] = (this.webhooks[index] ?? []).map(({ name }) => ({ name, bundle }));
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const { resume } of this.#parked.values()) resume();
    await Promise.all(this.#ended);
  }

  #earliest() {
    return [...this.#parked].sort(([, a], [, b]) => (a.wakeAt ?? 0) - (b.wakeAt ?? 0))[0];
  }

  #park(replica: SimulatedReplica, wakeAt?: number): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.resolve();
    return new Promise((resume) => this.#parked.set(replica, { wakeAt, resume }));
  }

  #access(replica: SimulatedReplica): { secret: AuthoritySecret; registrations: Registrations } {
    const call = async (name: string) => {
      await this.#park(replica);
      const error = this.fault(name);
      if (error !== undefined) throw error;
    };
    return {
      secret: {
        read: async () => {
          await call('read secret');
          return this.stored && ({ ...this.stored, secret: { origin: this.stored } } as unknown as StoredAuthority);
        },
        write: async (authority, replaced) => {
          await call('write secret');
          const { origin } = (replaced?.secret ?? {}) as { origin?: SharedAuthority };
          if (origin !== this.stored) return false;
          this.stored = authority;
          return true;
        },
      },
      registrations: {
        read: async () => {
          await call('read registrations');
          return kinds.map((resource, index) => ({ resource, name: 'podrate', webhooks: this.webhooks[index] }));
        },
        publish: async ({ resource, webhooks }, bundle) => {
          await call(`publish ${resource}`);
          const index = kinds.indexOf(resource);
          if (webhooks === undefined || this.webhooks[index] !== webhooks) return false;
          this.webhooks[index] = webhooks.map(({ name }) => ({ name, bundle }));
          return true;
        },
      },
    };
  }
}
