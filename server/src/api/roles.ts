import type { AlertServiceService, EventServiceService } from '@openline/proto/alerts';
import type { AuthorityServiceService } from '@openline/proto/authority';
import type { DeclaredServiceService } from '@openline/proto/declared';
import type { NotificationServiceService } from '@openline/proto/notifications';
import type {
  AccessServiceService,
  FleetServiceService,
  PackServiceService,
  RunServiceService,
} from '@openline/proto/operator';
import type {
  HealthServiceService,
  MaintenanceServiceService,
  WatchServiceService,
} from '@openline/proto/operator-health';
import type { Role } from '../access/access.ts';

type PathOf<Service> = {
  [Name in keyof Service]: Service[Name] extends { path: infer Path } ? Path : never;
}[keyof Service];

/** Every method of the operator API, e.g. "/openline.operator.v1.RunService/SubmitRun". */
export type MethodPath =
  | PathOf<typeof RunServiceService>
  | PathOf<typeof FleetServiceService>
  | PathOf<typeof PackServiceService>
  | PathOf<typeof AccessServiceService>
  | PathOf<typeof AuthorityServiceService>
  | PathOf<typeof AlertServiceService>
  | PathOf<typeof EventServiceService>
  | PathOf<typeof DeclaredServiceService>
  | PathOf<typeof NotificationServiceService>
  | PathOf<typeof HealthServiceService>
  | PathOf<typeof WatchServiceService>
  | PathOf<typeof MaintenanceServiceService>;

/** The least role that may call a method. A method without a line here fails to compile. */
export const ROLES = {
  '/openline.operator.v1.RunService/SubmitRun': 'operator',
  '/openline.operator.v1.RunService/PreviewRun': 'viewer',
  '/openline.operator.v1.RunService/GetRun': 'viewer',
  '/openline.operator.v1.RunService/ListRuns': 'viewer',
  '/openline.operator.v1.RunService/WatchRun': 'viewer',
  '/openline.operator.v1.RunService/ReadOutput': 'viewer',
  '/openline.operator.v1.RunService/CancelRun': 'operator',
  '/openline.operator.v1.RunService/RetryRun': 'operator',
  '/openline.operator.v1.FleetService/ListAgents': 'viewer',
  '/openline.operator.v1.FleetService/GetAgent': 'viewer',
  '/openline.operator.v1.FleetService/RevokeAgent': 'admin',
  '/openline.operator.v1.FleetService/DeleteAgent': 'admin',
  '/openline.operator.v1.FleetService/TraceAgent': 'operator',
  '/openline.operator.v1.PackService/PushPack': 'admin',
  '/openline.operator.v1.PackService/ListPacks': 'viewer',
  '/openline.operator.v1.PackService/GetPack': 'viewer',
  '/openline.operator.v1.PackService/RemovePack': 'admin',
  '/openline.operator.v1.AlertService/ListAlerts': 'viewer',
  '/openline.operator.v1.AlertService/GetAlert': 'viewer',
  '/openline.operator.v1.AlertService/WatchAlerts': 'viewer',
  '/openline.operator.v1.AlertService/AcknowledgeAlerts': 'operator',
  '/openline.operator.v1.AlertService/AssignAlerts': 'operator',
  '/openline.operator.v1.AlertService/CommentAlerts': 'operator',
  '/openline.operator.v1.AlertService/CloseAlerts': 'operator',
  '/openline.operator.v1.EventService/ListEvents': 'viewer',
  '/openline.operator.v1.EventService/WatchEvents': 'viewer',
  '/openline.operator.v1.AccessService/WhoAmI': 'viewer',
  '/openline.operator.v1.AccessService/CreateToken': 'admin',
  '/openline.operator.v1.AccessService/ListTokens': 'admin',
  '/openline.operator.v1.AccessService/RevokeToken': 'admin',
  '/openline.operator.v1.AccessService/ListAudit': 'admin',
  '/openline.operator.v1.AuthorityService/GetAuthority': 'viewer',
  '/openline.operator.v1.AuthorityService/RotateAuthority': 'admin',
  '/openline.operator.v1.AuthorityService/EndAuthorityOverlap': 'admin',
  // What each kind needs beyond this, the service knows.
  '/openline.operator.v1.DeclaredService/ApplyDeclared': 'operator',
  '/openline.operator.v1.DeclaredService/ListDeclared': 'viewer',
  '/openline.operator.v1.DeclaredService/GetDeclared': 'viewer',
  '/openline.operator.v1.DeclaredService/DeleteDeclared': 'operator',
  '/openline.operator.v1.DeclaredService/ListDeclaredKinds': 'viewer',
  '/openline.operator.v1.NotificationService/ListNotifications': 'viewer',
  '/openline.operator.v1.NotificationService/GetNotification': 'viewer',
  '/openline.operator.v1.NotificationService/RetryNotifications': 'operator',
  '/openline.operator.v1.NotificationService/ListChannels': 'viewer',
  '/openline.operator.v1.NotificationService/TestChannel': 'operator',
  '/openline.operator.v1.NotificationService/ListSubscriptions': 'viewer',
  '/openline.operator.v1.HealthService/GetHealth': 'viewer',
  '/openline.operator.v1.HealthService/ListAgentHealth': 'viewer',
  '/openline.operator.v1.HealthService/GetAgentHealth': 'viewer',
  '/openline.operator.v1.HealthService/WatchHealth': 'viewer',
  '/openline.operator.v1.WatchService/ListMonitorStates': 'viewer',
  '/openline.operator.v1.WatchService/ResetMonitor': 'operator',
  '/openline.operator.v1.WatchService/ListWatches': 'viewer',
  '/openline.operator.v1.WatchService/ExplainWatch': 'viewer',
  '/openline.operator.v1.MaintenanceService/StartMaintenance': 'operator',
  '/openline.operator.v1.MaintenanceService/EndMaintenance': 'operator',
  '/openline.operator.v1.MaintenanceService/ExtendMaintenance': 'operator',
  '/openline.operator.v1.MaintenanceService/ListMaintenances': 'viewer',
  '/openline.operator.v1.MaintenanceService/GetMaintenance': 'viewer',
} as const satisfies Record<MethodPath, Role>;

/** Anyone may ask whether the server is well: probes have no token. */
const OPEN_PREFIX = '/grpc.health.v1.Health/';
const REFLECTION = /^\/grpc\.reflection\.v1(alpha)?\.ServerReflection\//;

/** `undefined` for a method that nobody gave a role, which is then refused. */
export function neededRole(path: string): Role | 'none' | undefined {
  if (path.startsWith(OPEN_PREFIX)) return 'none';
  if (REFLECTION.test(path)) return 'viewer';
  return isMethodPath(path) ? ROLES[path] : undefined;
}

function isMethodPath(path: string): path is MethodPath {
  return Object.hasOwn(ROLES, path);
}

/** "RunService/SubmitRun": for people, logs and metrics. */
export function shortName(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}
