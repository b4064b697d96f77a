import { OpenlineError } from '@openline/proto/errors';
import { type Kysely, sql, type Transaction } from 'kysely';
import { hashOf, looksLike } from '../access/secrets.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import { newId } from '../db/ids.ts';
import type { Schema } from '../db/schema.ts';
import { storeErrors, violatedUnique } from '../db/store-errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { CertificateAuthority, EnrolledAgent, EnrollmentService } from './enrollment.ts';
import { keyOfRequest, spkiHash } from './x509.ts';

export interface EnrollmentServiceDeps {
  readonly db: Kysely<Schema>;
  readonly ca: CertificateAuthority;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Of nodes of clusters; undefined: there are none. */
  readonly enrollNode: EnrollmentService['enrollNode'] | undefined;
}

/** Host names, and what people call machines. */
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

export function createEnrollmentService(deps: EnrollmentServiceDeps): EnrollmentService {
  const { db, ca, clock, metrics } = deps;

  /** Counts how it ended. */
  async function counted<T>(kind: 'enroll' | 'attest' | 'renew', work: Promise<T>): Promise<T> {
    let outcome = 'INTERNAL';
    try {
      const done = await storeErrors(work);
      outcome = 'ok';
      return done;
    } catch (error) {
      if (error instanceof OpenlineError) outcome = error.code;
      throw error;
    } finally {
      metrics.enrollments.with({ kind, outcome }).inc();
    }
  }

  async function enroll(secret: string, csrDer: Uint8Array, name: string): Promise<EnrolledAgent> {
    if (!looksLike('join', secret)) throw new OpenlineError('JOIN_TOKEN_INVALID', 'this is no join token');
    if (!NAME.test(name)) {
      throw new OpenlineError(
        'REQUEST_INVALID',
        'the name of an agent has up to 253 letters, digits, dots, dashes and underscores, and begins and ends with a letter or digit',
      );
    }
    return db.transaction().execute(async (tx) => {
      const agentId = newId();
      // Of many who come with the same token at once, this update lets one through; when anything below fails, the token is as before.
      const token = await tx
        .updateTable('tokens')
        .set({ used_by_agent: agentId, last_used_at: clock.now() })
        .where('secret_hash', '=', hashOf(secret))
        .where('kind', '=', 'join')
        .where('used_by_agent', 'is', null)
        .where('revoked_at', 'is', null)
        .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', clock.now())]))
        .returning(['id', 'name', 'labels'])
        .executeTakeFirst();
      if (token === undefined) return again(tx, secret, csrDer);

      const issued = await ca.issueForAgent(csrDer, agentId);
      await tx
        .insertInto('agents')
        .values({
          id: agentId,
          name,
          enrolled_at: clock.now(),
          enrolled_with: token.id,
          enrolled_key: await keyHash(csrDer),
          pinned_labels: JSON.stringify(token.labels),
          labels: '{}',
          facts: '{}',
          certificate_expires_at: issued.notAfter,
        })
        .execute()
        .catch((error: unknown) => {
          if (violatedUnique(error) !== 'agents_name') throw error;
          throw new OpenlineError('NAME_TAKEN', `another agent is called «${name}»`);
        });
      const details = { name, token: token.id, tokenName: token.name, labels: token.labels };
      await deps.audit.record({ principal: `token:${token.id}`, action: 'agent.enroll', object: agentId, details }, tx);
      return { agentId, agentName: name, ...issued };
    });
  }

  /**
   * The answer to an enrolment may be lost on its way. Who comes again with the same token and proves to have the same key is the same
   * agent, and gets what it missed; anybody else is refused.
   */
  async function again(tx: Transaction<Schema>, secret: string, csrDer: Uint8Array): Promise<EnrolledAgent> {
    const agent = await tx
      .selectFrom('tokens')
      .innerJoin('agents', 'agents.id', 'tokens.used_by_agent')
      .select(['agents.id', 'agents.name', 'agents.enrolled_key'])
      .where('secret_hash', '=', hashOf(secret))
      .where('kind', '=', 'join')
      .where('agents.revoked_at', 'is', null)
      .where('tokens.revoked_at', 'is', null)
      .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', clock.now())]))
      .executeTakeFirst();
    if (agent === undefined || !agent.enrolled_key.equals(await keyHash(csrDer))) {
      throw new OpenlineError('JOIN_TOKEN_INVALID', 'the join token is unknown, used, expired or revoked');
    }
    const issued = await ca.issueForAgent(csrDer, agent.id);
    await setExpiry(tx, agent.id, issued.notAfter);
    return { agentId: agent.id, agentName: agent.name, ...issued };
  }

  async function renew(agentId: string, csrDer: Uint8Array) {
    const agent = await db
      .selectFrom('agents')
      .select(['revoked_at', 'name', 'node_uid'])
      .where('id', '=', agentId)
      .executeTakeFirst();
    if (agent === undefined) throw new OpenlineError('IDENTITY_UNKNOWN', `there is no agent ${agentId}`);
    if (agent.revoked_at !== null) throw new OpenlineError('AGENT_REVOKED', `the agent «${agent.name}» was revoked`);
    // Otherwise who has stolen its key once could be the node for ever.
    if (agent.node_uid !== '')
      throw new OpenlineError('REQUEST_INVALID', 'the agent of a node proves its node anew instead of renewing');
    const issued = await ca.issueForAgent(csrDer, agentId);
    await setExpiry(db, agentId, issued.notAfter);
    return issued;
  }

  return {
    enrollWithToken: (secret, csrDer, name) => counted('enroll', enroll(secret, csrDer, name)),
    enrollNode: (token, csrDer) =>
      counted(
        'attest',
        deps.enrollNode?.(token, csrDer) ??
          Promise.reject(
            new OpenlineError('NODE_NOT_ATTESTED', 'this server takes no agents of clusters; see kubernetesAgents'),
          ),
      ),
    renew: (agentId, csrDer) => counted('renew', renew(agentId, csrDer)),
  };
}

async function keyHash(csrDer: Uint8Array): Promise<Buffer> {
  return spkiHash((await keyOfRequest(csrDer)).rawData);
}

async function setExpiry(on: Kysely<Schema>, agentId: string, notAfter: Date): Promise<void> {
  await on
    .updateTable('agents')
    // Two requests may be under way: what is stored is when the last certificate of it ends.
    .set({ certificate_expires_at: sql`greatest(certificate_expires_at, ${notAfter}::timestamptz)` })
    .where('id', '=', agentId)
    .execute();
}
