import { type AuditEntry, type Token, TokenKind, type WhoAmIResponse } from '@openline/proto/operator';
import { iso, json, number } from './values.ts';

/** A token as `-o json` shows it; never its secret. Public: fields are added, never renamed or removed. */
export interface TokenView {
  id: string;
  kind: 'operator' | 'join';
  name: string;
  /** null for join tokens. */
  role: string | null;
  labels: Record<string, string>;
  state: 'valid' | 'used' | 'expired' | 'revoked';
  createdBy: string;
  createdAt: string | null;
  /** null: never. */
  expiresAt: string | null;
  revokedAt: string | null;
  lastUsedAt: string | null;
  /** Join tokens: the agent that used it. */
  usedByAgent: string | null;
}

export function tokenView(token: Token, nowMs: number): TokenView {
  const expired = token.expiresUnixMs > 0n && number(token.expiresUnixMs) <= nowMs;
  return {
    id: token.id,
    kind: token.kind === TokenKind.TOKEN_KIND_JOIN ? 'join' : 'operator',
    name: token.name,
    role: token.role || null,
    labels: token.labels,
    state: token.revokedUnixMs > 0n ? 'revoked' : token.usedByAgent !== '' ? 'used' : expired ? 'expired' : 'valid',
    createdBy: token.createdBy,
    createdAt: iso(token.createdUnixMs),
    expiresAt: iso(token.expiresUnixMs),
    revokedAt: iso(token.revokedUnixMs),
    lastUsedAt: iso(token.lastUsedUnixMs),
    usedByAgent: token.usedByAgent || null,
  };
}

/** One entry of the audit log: who did what, to what, when, and how it ended. */
export interface AuditView {
  seq: number;
  at: string | null;
  principal: string;
  action: string;
  object: string;
  details: unknown;
}

export function auditView(entry: AuditEntry): AuditView {
  return {
    seq: number(entry.seq),
    at: iso(entry.atUnixMs),
    principal: entry.principal,
    action: entry.action,
    object: entry.object,
    details: json(entry.detailsJson, {}),
  };
}

/** Who the server takes us for, and what it is. */
export interface WhoAmIView {
  tokenName: string;
  role: string;
  server: string;
  serverVersion: string;
  serverStartedAt: string | null;
  agentsConnected: number;
  agentPort: number;
  /** null: the host that is asked, at `agentPort`. */
  agentAddress: string | null;
  caHash: string;
}

export function whoAmIView(me: WhoAmIResponse, server: string): WhoAmIView {
  return {
    tokenName: me.tokenName,
    role: me.role,
    server,
    serverVersion: me.serverVersion,
    serverStartedAt: iso(me.serverStartedUnixMs),
    agentsConnected: me.agentsConnected,
    agentPort: me.agentPort,
    agentAddress: me.agentAddress || null,
    caHash: me.caHash,
  };
}
