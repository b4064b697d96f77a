import type { Clock } from './clock.ts';
import type { GivenAuthority } from './enrollment/authority/given.ts';
import type { HeldStore } from './enrollment/authority/held-store.ts';
import type { ManagedAuthority } from './enrollment/certificate-authority.ts';
import { every } from './every.ts';
import type { Logger } from './telemetry/logger.ts';
import type { Metrics } from './telemetry/metrics.ts';

export interface AuthorityUpkeepDeps {
  readonly ca: ManagedAuthority;
  /** Whose files are followed; undefined: the authority is our own. */
  readonly given: GivenAuthority | undefined;
  readonly heldStore: Pick<HeldStore, 'countBehind'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const CHECK_MS = 5_000;

/** Who enrolled with an authority that is lost cannot come back, and would have nobody to tell of it. */
export async function warnIfLost({
  ca,
  heldStore,
  clock,
  log,
}: Pick<AuthorityUpkeepDeps, 'ca' | 'heldStore' | 'clock' | 'log'>): Promise<void> {
  if (!ca.isNew) return;
  const agents = await heldStore.countBehind(ca.state().hash, clock.now());
  if (agents === 0) return;
  log.warn(
    { agents },
    'this server made a new authority, and its database knows agents that trust another one: was its state lost (the data directory, or the Secret)? ' +
      'With the state from a backup they come back; without it each machine needs a new join token (agents of nodes come back by themselves)',
  );
}

/** Renews what ends, follows what is given, and says when either ends. @param changed another certificate is to be shown, or another authority trusted */
export function keepAuthority(
  { ca, given, heldStore, clock, log, metrics }: AuthorityUpkeepDeps,
  changed: () => void,
): { stop(): void } {
  ca.onChange(() => {
    changed();
    const { hash, overlap, serverExpiresAt } = ca.state();
    log.info({ hash, overlap, serverExpiresAt }, 'the certificate of the server, or its authority, is another one');
  });
  metrics.beforeScrape(() => {
    const inSeconds = (date: Date) => (date.getTime() - clock.now().getTime()) / 1000;
    const { expiresAt, serverExpiresAt } = ca.state();
    metrics.certificateExpiry.with({ certificate: 'ca' }).set(inSeconds(expiresAt));
    metrics.certificateExpiry.with({ certificate: 'server' }).set(inSeconds(serverExpiresAt));
  });
  const upkeep = every(
    CHECK_MS,
    () => ca.refresh((hash) => heldStore.countBehind(hash, clock.now())),
    (error) => log.error({ err: error }, 'the certificate authority cannot be looked after; it is tried again'),
  );
  const watch = given?.watch(log, (signer) => ca.replace(signer));
  return {
    stop() {
      upkeep.stop();
      watch?.stop();
    },
  };
}
