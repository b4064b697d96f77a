import { type Metadata, ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import { OpenlineError } from '@openline/proto/errors';
import { type AccessService, allows, type Principal } from '../access/access.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import type { Logger } from '../telemetry/logger.ts';
import { BadTokens } from './bad-tokens.ts';
import { neededRole, shortName } from './roles.ts';
import { type Refusal, toRefusal } from './status.ts';

export interface DoorDeps {
  readonly access: Pick<AccessService, 'authenticate'>;
  readonly audit: Pick<AuditLog, 'record'>;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'error' | 'warn'>;
  /**
   * Called once for each request that ended.
   * @param method e.g. "RunService/SubmitRun"
   * @param code name of the gRPC status, e.g. "OK"
   * @param seconds from its arrival to its status; undefined for a stream, which lasts as long as its reader likes
   */
  observe(method: string, code: string, seconds: number | undefined): void;
}

export interface Admission {
  readonly principal: Principal;
  /** For streams that outlive their token. @throws OpenlineError UNAUTHENTICATED */
  recheck(): Promise<unknown>;
}

export interface Door {
  readonly interceptor: ServerInterceptor;
  /** Of a call that the interceptor has let in. */
  admissionOf(call: { readonly metadata: Metadata }): Admission;
}

const BEARER = /^bearer +(\S+)$/i;

/**
 * Every call on the operator port comes through here: who is it, may they, how did it end.
 * It is decided before the request is read, so that a stranger cannot make the server hold or parse anything.
 */
export function createDoor({ access, audit, clock, log, observe }: DoorDeps): Door {
  const admissions = new WeakMap<Metadata, Admission>();
  const badTokens = new BadTokens();

  async function admit(path: string, metadata: Metadata, peer: string): Promise<Admission | undefined> {
    const needed = neededRole(path);
    if (needed === 'none') return undefined;
    if (needed === undefined) throw new Error(`${path} has no role`);
    const secret = BEARER.exec(String(metadata.get('authorization')[0] ?? ''))?.[1];
    // It must not reach a handler, a log line or an error.
    metadata.remove('authorization');
    const principal = await authenticate(secret, peer);
    if (!allows(principal.role, needed)) {
      const method = shortName(path);
      await audit.record({
        principal: principal.name,
        action: 'denied',
        object: method,
        details: { role: principal.role, needed, tokenId: principal.id },
      });
      throw new OpenlineError(
        'PERMISSION_DENIED',
        `${method} needs the role ${needed}; the token «${principal.name}» has the role ${principal.role}`,
      );
    }
    return { principal, recheck: () => access.authenticate(secret ?? '') };
  }

  async function authenticate(secret: string | undefined, peer: string): Promise<Principal> {
    try {
      if (secret === undefined) {
        throw new OpenlineError('UNAUTHENTICATED', 'the request carries no token (`authorization: Bearer …`)');
      }
      return await access.authenticate(secret);
    } catch (error) {
      if (error instanceof OpenlineError && error.code === 'UNAUTHENTICATED') {
        const address = peer.replace(/:\d+$/, '');
        const { first, pauseMs } = badTokens.failed(address, clock.nowMs());
        if (first) log.warn({ address, reason: error.message }, 'a request without a valid token was refused');
        if (pauseMs > 0) await clock.sleep(pauseMs);
      }
      throw error;
    }
  }

  const interceptor: ServerInterceptor = (methodDescriptor, call) => {
    const { path, responseStream } = methodDescriptor;
    const arrivedMs = clock.nowMs();
    let ended = false;
    const end = (code: status) => {
      if (ended) return;
      ended = true;
      observe(shortName(path), status[code], responseStream ? undefined : (clock.nowMs() - arrivedMs) / 1000);
    };
    const refuse = (refusal: Refusal) => {
      end(refusal.code);
      call.sendStatus(refusal);
    };
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            admit(path, metadata, call.getPeer())
              .then((admission) => {
                if (admission !== undefined) admissions.set(metadata, admission);
                nextMetadata(metadata);
              })
              .catch((error: unknown) => refuse(toRefusal(error, shortName(path), log)));
          },
          onReceiveMessage: (message, nextMessage) => nextMessage(message),
          onReceiveHalfClose: (nextHalfClose) => nextHalfClose(),
          onCancel: () => end(status.CANCELLED),
        }),
      sendStatus(outcome, next) {
        end(outcome.code);
        next(outcome);
      },
    });
  };

  return {
    interceptor,
    admissionOf(call) {
      const admission = admissions.get(call.metadata);
      if (admission === undefined) throw new Error('a call reached its handler without having come through the door');
      return admission;
    },
  };
}
