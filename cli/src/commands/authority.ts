import { type Authority, AuthorityServiceService } from '@openline/proto/authority';
import { parseDuration } from '../args/duration.ts';
import type { OperatorClient } from '../client/client.ts';
import { CliError, EXIT } from '../failure.ts';
import type { Io } from '../io.ts';
import { printDocument, printLines } from '../render/document.ts';
import { renderTable } from '../render/table.ts';
import { formatAge } from '../render/time.ts';
import { type AuthorityView, authorityView, type OverlapView } from '../views/authority.ts';
import { at } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export interface RotateFlags extends OutputFlag {
  readonly wait?: boolean | undefined;
  readonly timeout: string;
}

const POLL_MS = 1_000;

export function authorityStatus(flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    await show(await current(client), flags, io);
    return EXIT.ok;
  });
}

/** The bundle and nothing else, so that `openline ca bundle > ca.pem` works. */
export function authorityBundle(global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    io.out.write((await current(client)).bundlePem);
    return EXIT.ok;
  });
}

export function rotateAuthority(flags: RotateFlags, global: GlobalFlags, io: Io): Promise<number> {
  const timeoutMs = parseDuration(flags.timeout, '--timeout');
  return withClient(global, io, async (client) => {
    const { authority, underWay } = await client.unary(AuthorityServiceService.rotateAuthority, {});
    if (underWay) io.err.write('one authority replaces another already: nothing was changed\n');
    let latest = needed(authority);
    if (flags.wait === true) latest = await untilNobodyIsBehind(client, latest, io, timeoutMs);
    await show(latest, flags, io);
    if (flags.wait !== true || isHeld(latest)) return EXIT.ok;
    io.err.write(`not every agent holds the new authority after ${flags.timeout}; the rotation goes on\n`);
    return EXIT.notAll;
  });
}

export function endOverlap(flags: OutputFlag & { force?: boolean }, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const { authority } = await client.unary(AuthorityServiceService.endAuthorityOverlap, {
      force: flags.force === true,
    });
    await show(needed(authority), flags, io);
    return EXIT.ok;
  });
}

async function untilNobodyIsBehind(
  client: OperatorClient,
  begun: Authority,
  io: Io,
  timeoutMs: number,
): Promise<Authority> {
  const endMs = io.nowMs() + timeoutMs;
  let latest = begun;
  while (!isHeld(latest) && io.nowMs() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    // A server that restarts meanwhile goes on where it was.
    latest = await current(client).catch(() => latest);
  }
  return latest;
}

const isHeld = ({ overlap }: Authority) => overlap === undefined || overlap.behindCount === 0;

async function current(client: OperatorClient): Promise<Authority> {
  return needed((await client.unary(AuthorityServiceService.getAuthority, {})).authority);
}

function needed(authority: Authority | undefined): Authority {
  if (authority !== undefined) return authority;
  throw new CliError('INTERNAL', 'the server’s answer names no authority', 'Upgrade the older of the two.');
}

async function show(authority: Authority, flags: OutputFlag, io: Io): Promise<void> {
  const view = authorityView(authority);
  if (flags.output !== 'table') return printDocument(io, flags.output, view);
  const nowMs = io.nowMs();
  const when = (iso: string | null) => formatAge(at(iso), nowMs);
  printLines(io, [
    `authority:           ${view.hash}${view.givenFrom === null ? '' : `   given (${view.givenFrom})`}`,
    `ends:                ${when(view.expiresAt)}`,
    `server certificate:  ends ${when(view.serverCertificateExpiresAt)}`,
    ...(view.overlap === null ? [] : overlapLines(view.overlap, when)),
  ]);
  if (view.overlap !== null && view.overlap.behind.length > 0) printLines(io, behindTable(view.overlap, when, io));
}

export function overlapLines(overlap: OverlapView, when: (iso: string | null) => string): string[] {
  const { behindCount, previous } = overlap;
  const agents = behindCount === 1 ? '1 agent is' : `${behindCount} agents are`;
  return [
    `replaces:            ${previous.join(', ')}   since ${when(overlap.since)}`,
    `the old one ends:    ${when(overlap.earliestEnd)}, once no agent is behind; in any case ${when(overlap.latestEnd)}`,
    behindCount === 0
      ? 'agents:              all hold the new one'
      : `agents:              ${agents} behind; whose certificate ends first must join again`,
    overlap.rootUnchanged
      ? 'operators elsewhere: need nothing: the root that they trust is the same'
      : 'operators elsewhere: `openline ca bundle > ca.pem`, then `openline context set NAME --ca ca.pem`, before the old one ends',
  ];
}

function behindTable({ behind }: OverlapView, when: (iso: string | null) => string, io: Io): string[] {
  type Row = AuthorityBehind;
  return renderTable(
    [
      { title: 'AGENT', cell: (row: Row) => row.agent, shrinks: true },
      { title: 'ONLINE', cell: (row) => (row.online ? 'yes' : 'no') },
      { title: 'CERTIFICATE ENDS', cell: (row) => when(row.certificateExpiresAt) },
    ],
    behind,
    io.out.screen().columns,
  );
}

type AuthorityBehind = NonNullable<AuthorityView['overlap']>['behind'][number];
