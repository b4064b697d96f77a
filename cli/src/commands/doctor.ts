import { ERRORS, OpenlineError } from '@openline/proto/errors';
import { AccessServiceService, FleetServiceService, PackServiceService } from '@openline/proto/operator';
import { createColors } from 'picocolors';
import type { OperatorClient } from '../client/client.ts';
import { type Connection, locate } from '../config/locate.ts';
import { type Check, checkAgents, checkCertificate, checkClock, checkPacks, checkVersions } from '../doctor/checks.ts';
import { probeTls } from '../doctor/probe.ts';
import { CliError, EXIT } from '../failure.ts';
import type { Io } from '../io.ts';
import { printItems, printLines } from '../render/document.ts';
import { printable } from '../render/text.ts';
import { VERSION } from '../version.ts';
import { agentView } from '../views/agent.ts';
import { packView } from '../views/pack.ts';
import type { GlobalFlags, OutputFlag } from './context.ts';

/** @returns 1 when a check failed; warnings are not failures */
export async function doctorCommand(flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  const checks: Check[] = [];
  const live = flags.output === 'table';
  const add = (check: Check) => {
    checks.push(check);
    if (live) printLines(io, renderCheck(check, io.out.screen().color));
  };
  await examine(add, global, io);
  if (flags.output !== 'table') await printItems(io, flags.output, checks);
  else printLines(io, ['', summary(checks)]);
  return checks.some((check) => check.status === 'fail') ? EXIT.notAll : EXIT.ok;
}

/** Each step needs the one before it; what cannot be looked at is not guessed. */
async function examine(add: (check: Check) => void, global: GlobalFlags, io: Io): Promise<void> {
  let connection: Connection;
  try {
    connection = await locate(global, io);
  } catch (error) {
    add(failed('configuration', error));
    return;
  }
  const parts = [
    `server from ${connection.addressFrom}`,
    `token from ${connection.tokenFrom ?? 'nowhere'}`,
    `CA from ${connection.caFrom ?? 'Node’s own list'}`,
  ];
  add({ name: 'configuration', status: 'ok', detail: parts.join(', '), doNext: null });

  const probe = await probeTls(connection, 5_000);
  if (probe.kind === 'unreachable') {
    add({
      name: 'server reachable',
      status: 'fail',
      detail: `${connection.address.text}: ${probe.reason}`,
      doNext: 'Start it with `openline server`, or check address, port and network.',
    });
    return;
  }
  add({
    name: 'server reachable',
    status: 'ok',
    detail: `${connection.address.text} in ${probe.tookMs} ms`,
    doNext: null,
  });
  add(
    probe.untrusted === undefined
      ? { name: 'TLS', status: 'ok', detail: `${probe.protocol}, certificate trusted`, doNext: null }
      : untrusted(probe.untrusted, connection.address.host),
  );
  if (probe.expiresMs !== undefined) add(checkCertificate(probe.expiresMs, io.nowMs()));
  if (probe.untrusted !== undefined) return; // the token is for a server that is trusted

  const { createClient } = await import('../client/client.ts');
  const client = createClient(connection);
  try {
    await examineServer(client, add, io);
  } catch (error) {
    add(failed('server answers', error));
  } finally {
    client.close();
  }
}

async function examineServer(client: OperatorClient, add: (check: Check) => void, io: Io): Promise<void> {
  let dateHeader: string | undefined;
  const sentMs = io.nowMs();
  const onDate = (date: string) => {
    dateHeader = date;
  };
  const me = await client
    .unary(AccessServiceService.whoAmI, {}, { deadlineMs: 10_000, onDate })
    .catch((error: unknown) => {
      add(failed('token', error));
      return undefined;
    });
  if (me === undefined) return;
  add({ name: 'token', status: 'ok', detail: `${printable(me.tokenName)}, role ${me.role}`, doNext: null });
  add(checkVersions(VERSION, me.serverVersion));
  const clock = checkClock(dateHeader, sentMs, io.nowMs());
  if (clock !== undefined) add(clock);
  const [{ agents }, { packs }] = await Promise.all([
    client.unary(FleetServiceService.listAgents, { selector: '', includeRevoked: false }),
    client.unary(PackServiceService.listPacks, {}),
  ]);
  const views = agents.map(agentView);
  for (const check of [...checkAgents(views, io.nowMs()), ...checkPacks(packs.map(packView), views)]) add(check);
}

function failed(name: string, error: unknown): Check {
  const detail = error instanceof Error ? error.message : String(error);
  const doNext =
    error instanceof CliError ? error.doNext : error instanceof OpenlineError ? ERRORS[error.code].doNext : null;
  return { name, status: 'fail', detail, doNext };
}

export function renderCheck(check: Check, color: boolean): string[] {
  const paint = createColors(color);
  const mark = { ok: paint.green('ok  '), warn: paint.yellow('warn'), fail: paint.red('fail') }[check.status];
  const [first = '', ...more] = check.detail.split('\n').map(printable);
  return [
    `${mark}  ${check.name}: ${first}`,
    ...more.map((line) => `        ${line}`),
    ...(check.doNext === null ? [] : [`      → ${check.doNext}`]),
  ];
}

function summary(checks: readonly Check[]): string {
  const count = (status: Check['status']) => checks.filter((check) => check.status === status).length;
  return `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} failed`;
}

/** @param why as Node's TLS says it */
function untrusted(why: string, host: string): Check {
  return why === 'ERR_TLS_CERT_ALTNAME_INVALID'
    ? {
        name: 'TLS',
        status: 'fail',
        detail: `the server’s certificate is trusted, but not made for the name ${host}`,
        doNext: 'Reach it by a name that it is made for, or start the server with this one in --advertise.',
      }
    : { name: 'TLS', status: 'fail', detail: why, doNext: ERRORS.SERVER_UNTRUSTED.doNext };
}
