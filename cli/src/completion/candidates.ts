import type { Agent } from '@openline/proto/operator';
import type { OperatorClient } from '../client/client.ts';
import { configPath, readConfig } from '../config/file.ts';
import { type ConnectionFlags, locate } from '../config/locate.ts';
import type { Io } from '../io.ts';

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

export type Source =
  | {
      readonly kind:
        | 'tasks'
        | 'packs'
        | 'agents'
        | 'targets'
        | 'properties'
        | 'runs'
        | 'contexts'
        | 'shells'
        | 'kinds'
        | 'channels'
        | 'subscriptions'
        | 'notifications'
        | 'watches'
        | 'maintenances'
        | 'alerts';
    }
  | { readonly kind: 'parameters'; readonly task: string }
  | { readonly kind: 'declared'; readonly of: string };

/** At a prompt one waits for nothing. Milliseconds. */
const SERVER_MS = 1_500;

/** What a selector can say without quotes of its own; agents choose their labels, and may choose strange ones. */
const SAYABLE = /^[^\s,()=!]*$/;

/** @throws what the way to the server throws; the caller is a prompt, and has nobody to tell */
export async function candidatesFor(source: Source, flags: ConnectionFlags, io: Io): Promise<Candidate[]> {
  if (source.kind === 'shells') return ['bash', 'zsh', 'fish'].map((value) => ({ value, description: '' }));
  if (source.kind === 'contexts') {
    const { contexts } = await readConfig(configPath(io.env, io.home));
    return contexts.map((context) => ({ value: context.name, description: context.server }));
  }
  const connection = await locate(flags, io);
  const { createClient } = await import('../client/client.ts');
  const client = createClient(connection);
  try {
    return await ask(client, source);
  } finally {
    client.close();
  }
}

async function ask(client: OperatorClient, source: Source): Promise<Candidate[]> {
  const { FleetServiceService, PackServiceService, RunServiceService } = await import('@openline/proto/operator');
  const soon = { deadlineMs: SERVER_MS };
  const allAgents = async () =>
    (await client.unary(FleetServiceService.listAgents, { selector: '', includeRevoked: false }, soon)).agents;
  switch (source.kind) {
    case 'tasks': {
      const { packs } = await client.unary(PackServiceService.listPacks, {}, soon);
      return packs.flatMap((pack) =>
        pack.tasks.map((task) => ({ value: `${pack.name}/${task.name}`, description: task.title })),
      );
    }
    case 'packs': {
      const { packs } = await client.unary(PackServiceService.listPacks, {}, soon);
      return packs.map((pack) => ({ value: pack.name, description: pack.title }));
    }
    case 'agents': {
      const agents = await allAgents();
      return agents.map((agent) => ({ value: agent.name, description: agent.online ? 'online' : 'offline' }));
    }
    case 'targets': {
      const agents = await allAgents();
      const pairs = new Set(
        agents.flatMap((agent) =>
          Object.entries(agent.labels).flatMap(([key, value]) => (SAYABLE.test(value) ? [`${key}=${value}`] : [])),
        ),
      );
      return [
        { value: 'all', description: `${agents.length} agents` },
        ...[...pairs].sort().map((value) => ({ value, description: 'label' })),
        ...agents.map((agent) => ({ value: `name=${agent.name}`, description: agent.online ? 'online' : 'offline' })),
      ];
    }
    case 'properties': {
      const agents = await allAgents();
      const keysOf = (kind: 'label' | 'fact', of: (agent: Agent) => Record<string, string>) =>
        [...new Set(agents.flatMap((agent) => Object.keys(of(agent))))].sort().map((key) => `${kind}:${key}`);
      return [
        { value: 'name', description: 'of the agent' },
        ...keysOf('label', ({ labels }) => labels).map((value) => ({ value, description: 'label' })),
        ...keysOf('fact', ({ facts }) => facts).map((value) => ({ value, description: 'fact' })),
      ];
    }
    case 'runs': {
      const { runs } = await client.unary(
        RunServiceService.listRuns,
        { limit: 30, pageToken: '', openOnly: false, task: '' },
        soon,
      );
      return runs.map((run) => ({ value: run.id, description: `${run.packName}/${run.taskName}` }));
    }
    case 'parameters': {
      const [packRef = '', taskName = ''] = source.task.split('/');
      const { pack } = await client.unary(PackServiceService.getPack, { pack: packRef }, soon);
      const task = pack?.tasks.find((each) => each.name === taskName);
      const { parametersOf } = await import('../commands/pack-show.ts');
      const schema = JSON.parse(task?.parametersSchemaJson ?? '{}');
      return parametersOf(schema).map(({ name, description }) => ({ value: `${name}=`, description }));
    }
    case 'channels':
    case 'subscriptions': {
      const { DeclaredServiceService } = await import('@openline/proto/declared');
      const { objects } = await client.unary(DeclaredServiceService.listDeclared, { kind: source.kind }, soon);
      return objects.map(({ name }) => ({ value: name, description: '' }));
    }
    case 'notifications': {
      const { NotificationServiceService } = await import('@openline/proto/notifications');
      const request = { states: [], channel: '', subscription: '', alertId: '', limit: 30, pageToken: '' };
      const { notifications } = await client.unary(NotificationServiceService.listNotifications, request, soon);
      return notifications.map(({ id, title }) => ({ value: id, description: title }));
    }
    case 'alerts': {
      const { AlertServiceService } = await import('@openline/proto/alerts');
      const request = { filter: undefined, limit: 30, pageToken: '' };
      const { alerts } = await client.unary(AlertServiceService.listAlerts, request, soon);
      return alerts.map(({ id, agentName, title }) => ({ value: id, description: `${agentName}: ${title}` }));
    }
    case 'watches': {
      const { WatchKind, WatchServiceService } = await import('@openline/proto/operator-health');
      const request = { kind: WatchKind.WATCH_KIND_UNSPECIFIED, agent: '', watch: '' };
      const { watches } = await client.unary(WatchServiceService.listWatches, request, soon);
      return watches.map(({ name, title }) => ({ value: name, description: title }));
    }
    case 'maintenances': {
      const { MaintenanceServiceService } = await import('@openline/proto/operator-health');
      const request = { includeEnded: false, limit: 30, pageToken: '' };
      const { maintenances } = await client.unary(MaintenanceServiceService.listMaintenances, request, soon);
      return maintenances.map(({ id, targets, reason }) => ({
        value: id,
        description: `${targets} ${reason}`.trimEnd(),
      }));
    }
    case 'kinds': {
      const { DeclaredServiceService } = await import('@openline/proto/declared');
      const { kinds } = await client.unary(DeclaredServiceService.listDeclaredKinds, {}, soon);
      return kinds.map(({ kind, plural }) => ({ value: plural, description: kind }));
    }
    case 'declared': {
      const { DeclaredServiceService } = await import('@openline/proto/declared');
      const { objects } = await client.unary(DeclaredServiceService.listDeclared, { kind: source.of }, soon);
      return objects.map(({ name, updatedBy }) => ({ value: name, description: `applied by ${updatedBy}` }));
    }
    case 'contexts':
    case 'shells':
      return [];
    default:
      return source satisfies never;
  }
}
