import { formatHostPort } from '@openline/proto/host-port';
import { AccessServiceService, TokenKind } from '@openline/proto/operator';
import { parseDuration } from '../args/duration.ts';
import { parsePair } from '../args/parameters.ts';
import { shellQuote } from '../args/quote.ts';
import { isLoopback } from '../config/address.ts';
import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import { type Column, renderTable } from '../render/table.ts';
import { formatAge } from '../render/time.ts';
import { type TokenView, tokenView } from '../views/access.ts';
import { at } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export interface CreateTokenFlags extends OutputFlag {
  readonly join?: boolean | undefined;
  readonly role?: string | undefined;
  readonly ttl?: string | undefined;
  readonly label?: readonly string[] | undefined;
}

export function createToken(
  name: string | undefined,
  flags: CreateTokenFlags,
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const join = flags.join === true;
  if (join && flags.role !== undefined)
    throw usageError('--role is for operator tokens, and --join makes a join token', 'Leave one of them out.');
  if (!join && flags.label !== undefined)
    throw usageError('--label is for join tokens', 'Add --join, or leave it out.');
  if (!join && name === undefined)
    throw usageError(
      'an operator token needs a name: it says in the audit log who did what',
      'Example: `openline tokens create ci --role operator`.',
    );
  const labels = Object.fromEntries(
    (flags.label ?? []).map((each) => parsePair(each, '--label')).map(({ key, value }) => [key, value]),
  );
  const ttlMs = flags.ttl === undefined ? 0n : BigInt(parseDuration(flags.ttl, '--ttl'));
  return withClient(global, io, async (client) => {
    const { token, secret } = await client.unary(AccessServiceService.createToken, {
      kind: join ? TokenKind.TOKEN_KIND_JOIN : TokenKind.TOKEN_KIND_OPERATOR,
      name: name ?? 'join',
      role: join ? '' : (flags.role ?? 'operator'),
      ttlMs,
      labels,
    });
    const view = token === undefined ? null : tokenView(token, io.nowMs());
    let command: string | null = null;
    if (join) {
      const { agentAddress, agentPort, caHash } = await client.unary(AccessServiceService.whoAmI, {});
      const { host } = client.connection.address;
      const server = agentAddress || formatHostPort({ host, port: agentPort });
      command = `openline agent --server ${shellQuote(server)} --join-token ${shellQuote(secret)} --ca-hash ${shellQuote(caHash)}`;
      if (agentAddress === '' && isLoopback(host))
        io.err.write(
          `${host} reaches the server from this machine alone: put in the server’s name for the other machines, or set its agentAddress\n`,
        );
    }
    // The secret and nothing else on stdout, so that TOKEN=$(openline tokens create …) works.
    if (flags.output !== 'table') await printDocument(io, flags.output, { token: view, secret, command });
    else io.out.write(`${command ?? secret}\n`);
    if (flags.output === 'table' && view !== null) {
      const until =
        view.expiresAt === null ? 'It never expires' : `It expires ${formatAge(at(view.expiresAt), io.nowMs())}`;
      io.err.write(
        `${until}, is shown only now${join ? ', and works for one agent' : ''}. Revoke it: \`openline tokens revoke ${view.id}\`\n`,
      );
    }
    return EXIT.ok;
  });
}

export function listTokens(flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const { tokens } = await client.unary(AccessServiceService.listTokens, {});
    const nowMs = io.nowMs();
    const views = tokens.map((token) => tokenView(token, nowMs));
    if (flags.output !== 'table') {
      await printItems(io, flags.output, views);
      return EXIT.ok;
    }
    const columns: Column<TokenView>[] = [
      { title: 'ID', cell: (token) => token.id },
      { title: 'KIND', cell: (token) => token.kind },
      { title: 'NAME', cell: (token) => token.name, shrinks: true },
      { title: 'ROLE', cell: (token) => token.role ?? '' },
      { title: 'STATE', cell: (token) => token.state },
      { title: 'CREATED', cell: (token) => formatAge(at(token.createdAt), nowMs) },
      {
        title: 'EXPIRES',
        cell: (token) => (token.expiresAt === null ? 'never' : formatAge(at(token.expiresAt), nowMs)),
      },
      {
        title: 'USED',
        cell: (token) =>
          token.usedByAgent === null ? formatAge(at(token.lastUsedAt), nowMs) : `by ${token.usedByAgent}`,
        shrinks: true,
      },
    ];
    printLines(io, renderTable(columns, views, io.out.screen().columns));
    return EXIT.ok;
  });
}

export function revokeToken(id: string, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    await client.unary(AccessServiceService.revokeToken, { id });
    io.out.write(`token ${id} is revoked\n`);
    return EXIT.ok;
  });
}
