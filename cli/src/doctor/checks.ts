import { ERRORS, isErrorCode } from '@openline/proto/errors';
import { formatAge, formatDuration } from '../render/time.ts';
import type { AgentView } from '../views/agent.ts';
import type { PackView } from '../views/pack.ts';
import { at } from '../views/values.ts';

/** One line of `openline doctor`. Public with `-o json`. */
export interface Check {
  name: string;
  status: 'ok' | 'warn' | 'fail';
  detail: string;
  /** null when there is nothing to do. */
  doNext: string | null;
}

const DAY_MS = 86_400_000;

export function checkCertificate(expiresMs: number, nowMs: number): Check {
  const detail = `the server’s certificate ${expiresMs <= nowMs ? 'expired' : 'expires'} ${formatAge(expiresMs, nowMs)}`;
  if (expiresMs <= nowMs)
    return {
      name: 'server certificate',
      status: 'fail',
      detail,
      doNext: 'Restart the server, which renews its own; replace one that you gave it.',
    };
  if (expiresMs - nowMs < DAY_MS)
    return {
      name: 'server certificate',
      status: 'warn',
      detail,
      doNext: 'See that it is renewed: the server’s log, or cert-manager’s.',
    };
  return { name: 'server certificate', status: 'ok', detail, doNext: null };
}

/** Half of what an HTTP date can be off by, and what nobody needs to care about. */
const CLOCK_SLACK_MS = 2_000;
const CLOCK_FAIL_MS = 5 * 60_000;

/** @param date the server's HTTP date, in whole seconds. @returns undefined when it sent none */
export function checkClock(date: string | undefined, sentMs: number, receivedMs: number): Check | undefined {
  const serverMs = date === undefined ? Number.NaN : Date.parse(date);
  if (Number.isNaN(serverMs)) return undefined;
  const offMs = Math.max(0, sentMs - (serverMs + 1_000), serverMs - receivedMs);
  const detail =
    offMs <= CLOCK_SLACK_MS
      ? 'within two seconds of the server’s'
      : `${formatDuration(offMs)} ${serverMs > receivedMs ? 'behind' : 'ahead of'} the server’s`;
  if (offMs <= CLOCK_SLACK_MS) return { name: 'clock', status: 'ok', detail, doNext: null };
  const doNext = 'Set the clocks by NTP: certificates and times in tables depend on them.';
  return { name: 'clock', status: offMs > CLOCK_FAIL_MS ? 'fail' : 'warn', detail, doNext };
}

export function checkVersions(cli: string, server: string): Check {
  const minor = (version: string) => version.split('.').slice(0, 2).join('.');
  const same = minor(cli) === minor(server);
  return {
    name: 'versions',
    status: same ? 'ok' : 'warn',
    detail: `CLI ${cli}, server ${server}`,
    doNext: same ? null : 'Upgrade the older of the two.',
  };
}

const HOUR_MS = 3_600_000;

export function checkAgents(agents: readonly AgentView[], nowMs: number): Check[] {
  if (agents.length === 0) {
    return [
      {
        name: 'agents',
        status: 'warn',
        detail: 'there are none',
        doNext: '`openline tokens create --join` prints the command that makes one.',
      },
    ];
  }
  const of = (state: AgentView['state']) => agents.filter((agent) => agent.state === state);
  const offline = of('offline');
  const faulty = of('faulty');
  const connected = agents.length - offline.length;
  const checks: Check[] = [
    {
      name: 'agents',
      status: offline.length === 0 ? 'ok' : 'warn',
      detail: `${connected} of ${agents.length} connected${offline.length === 0 ? '' : `; offline: ${names(offline)}`}`,
      doNext:
        offline.length === 0
          ? null
          : '`openline agents show NAME` says when it was last seen; look at its service and network.',
    },
  ];
  if (faulty.length > 0) {
    const first = faulty[0];
    checks.push({
      name: 'agents’ health',
      status: 'warn',
      detail: `${names(faulty)}: ${first?.fault ?? ''}`,
      doNext: 'Look at the agent’s log on that machine.',
    });
  }
  const expiring = agents.filter((agent) => {
    const expires = at(agent.certificateExpiresAt);
    return agent.state !== 'offline' && expires !== null && expires - nowMs < HOUR_MS / 4;
  });
  if (expiring.length > 0) {
    checks.push({
      name: 'agents’ certificates',
      status: 'warn',
      detail: `less than a quarter of an hour left, and not renewed: ${names(expiring)}`,
      doNext: 'Look for renewal errors in the agent’s log; once expired, it needs a new join token.',
    });
  }
  return checks;
}

export function checkPacks(packs: readonly PackView[], agents: readonly AgentView[]): Check[] {
  if (packs.length === 0) {
    return [
      {
        name: 'packs',
        status: 'warn',
        detail: 'there are none, so nothing can be run',
        doNext: '`openline packs push utility linux` pushes the shipped ones.',
      },
    ];
  }
  const refused = packs.filter((pack) => pack.refusedAgents > 0);
  if (refused.length === 0)
    return [
      {
        name: 'packs',
        status: 'ok',
        detail: packs.map((pack) => `${pack.name} ${pack.version}`).join(', '),
        doNext: null,
      },
    ];
  return refused.map((pack) => {
    const who = agents.find((agent) =>
      agent.packs.some((each) => each.digest === pack.digest && !each.ready && each.reasonCode !== null),
    );
    const why = who?.packs.find((each) => each.digest === pack.digest);
    const example = why === undefined ? '' : `, e.g. ${who?.name}: ${why.reasonCode} ${why.reason ?? ''}`.trimEnd();
    return {
      name: 'packs',
      status: 'warn',
      detail: `${pack.name} ${pack.version} is refused by ${pack.refusedAgents} agents${example}`,
      doNext:
        why?.reasonCode && isErrorCode(why.reasonCode)
          ? ERRORS[why.reasonCode].doNext
          : 'The log of the agent says why.',
    };
  });
}

function names(agents: readonly AgentView[]): string {
  const shown = agents
    .slice(0, 5)
    .map((agent) => agent.name)
    .join(', ');
  return agents.length > 5 ? `${shown} and ${agents.length - 5} more` : shown;
}
