import { OpenlineError } from '@openline/proto/errors';
import { formatHostPort, type HostPort } from '@openline/proto/host-port';
import { type AccessServiceService, type Token, TokenKind } from '@openline/proto/operator';
import { z } from 'zod';
import type { AccessService, TokenRecord } from '../access/access.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { LinkTracer } from '../sessions/trace.ts';
import { labels, name, optionalMs, pageLimit, readRequest, seqToken } from './fields.ts';
import type { Handlers } from './serve.ts';
import { unixMs } from './times.ts';

export interface ServerFacts {
  readonly version: string;
  readonly startedAt: Date;
  readonly agentPort: number;
  /** By which agents reach the server, where that is not the host that the operator asks. */
  readonly agentAddress?: HostPort | undefined;
  /** "sha256:…" */
  readonly caHash: string;
}

export interface AccessDeps {
  readonly access: Omit<AccessService, 'authenticate'>;
  readonly audit: Pick<AuditLog, 'list'>;
  readonly tracer: Pick<LinkTracer, 'connectedCount'>;
  /** Asked at each call: the agent port may be bound later than this one. */
  facts(): ServerFacts;
}

const MAX_TOKEN_TTL_MS = 10 * 365 * 24 * 3600 * 1000;
const tokenTtlMs = optionalMs.refine((value) => (value ?? 0) <= MAX_TOKEN_TTL_MS, 'longer than ten years');

const Create = z.discriminatedUnion(
  'kind',
  [
    z.object({
      kind: z.literal(TokenKind.TOKEN_KIND_OPERATOR),
      name: name('name the token after who will use it', 128),
      role: z.literal(['viewer', 'operator', 'admin'], 'the roles are viewer, operator and admin'),
      ttlMs: tokenTtlMs,
      labels: labels.refine((map) => Object.keys(map).length === 0, 'only join tokens have labels'),
    }),
    z.object({
      kind: z.literal(TokenKind.TOKEN_KIND_JOIN),
      name: name('name the token after the machine that will use it', 128),
      role: z.literal('', 'only operator tokens have a role'),
      ttlMs: tokenTtlMs,
      labels,
    }),
  ],
  'say which kind of token: operator or join',
);
const Revoke = z.object({ id: name('give the id of a token', 64) });
const ListAudit = z.object({
  limit: pageLimit(),
  pageToken: seqToken,
});

export function accessHandlers({ access, audit, tracer, facts }: AccessDeps): Handlers<typeof AccessServiceService> {
  return {
    async whoAmI(_request, { principal }) {
      const { version, startedAt, agentPort, agentAddress, caHash } = facts();
      return {
        tokenName: principal.name,
        role: principal.role,
        serverVersion: version,
        serverStartedUnixMs: unixMs(startedAt),
        agentsConnected: tracer.connectedCount(),
        agentPort,
        agentAddress: agentAddress === undefined ? '' : formatHostPort(agentAddress),
        caHash,
      };
    },
    async createToken(request, { principal }) {
      const wanted = readRequest(Create, request);
      const { token, secret } =
        wanted.kind === TokenKind.TOKEN_KIND_OPERATOR
          ? await access.createOperatorToken(principal, wanted.name, wanted.role, wanted.ttlMs)
          : await access.createJoinToken(principal, wanted.name, wanted.labels, wanted.ttlMs);
      return { token: tokenMessage(token), secret };
    },
    async listTokens() {
      return { tokens: (await access.listTokens()).map(tokenMessage) };
    },
    async revokeToken(request, { principal }) {
      const { id } = readRequest(Revoke, request);
      if (id === principal.id) {
        throw new OpenlineError(
          'REQUEST_INVALID',
          'this is the token that the request itself carries; revoke it with another',
        );
      }
      return { token: tokenMessage(await access.revokeToken(principal, id)) };
    },
    async listAudit(request) {
      const { limit, pageToken } = readRequest(ListAudit, request);
      const entries = await audit.list(limit, pageToken);
      const last = entries.length === limit ? entries.at(-1) : undefined;
      return {
        entries: entries.map(({ seq, at, principal, action, object, details }) => ({
          seq: BigInt(seq),
          atUnixMs: unixMs(at),
          principal,
          action,
          object,
          detailsJson: JSON.stringify(details),
        })),
        nextPageToken: last === undefined ? '' : String(last.seq),
      };
    },
  };
}

function tokenMessage(token: TokenRecord): Token {
  return {
    id: token.id,
    kind: token.kind === 'join' ? TokenKind.TOKEN_KIND_JOIN : TokenKind.TOKEN_KIND_OPERATOR,
    name: token.name,
    role: token.role ?? '',
    createdUnixMs: unixMs(token.createdAt),
    expiresUnixMs: unixMs(token.expiresAt),
    revokedUnixMs: unixMs(token.revokedAt),
    lastUsedUnixMs: unixMs(token.lastUsedAt),
    usedByAgent: token.usedByAgent ?? '',
    labels: { ...token.labels },
    createdBy: token.createdBy,
  };
}
