import { Server, type ServerOptions } from '@grpc/grpc-js';
import { AlertServiceService, EventServiceService } from '@openline/proto/alerts';
import { AuthorityServiceService } from '@openline/proto/authority';
import { DeclaredServiceService } from '@openline/proto/declared';
import { OpenlineError } from '@openline/proto/errors';
import { MAX_SERVER_MESSAGE_BYTES } from '@openline/proto/limits';
import { NotificationServiceService } from '@openline/proto/notifications';
import {
  AccessServiceService,
  FleetServiceService,
  PackServiceService,
  RunServiceService,
} from '@openline/proto/operator';
import { HealthServiceService, MaintenanceServiceService, WatchServiceService } from '@openline/proto/operator-health';
import type { AccessService } from '../access/access.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { RunService } from '../runs/run-service.ts';
import type { LinkTracer } from '../sessions/trace.ts';
import type { Logger } from '../telemetry/logger.ts';
import { accessHandlers, type ServerFacts } from './access-handlers.ts';
import { type AlertDeps, alertHandlers, eventHandlers } from './alert-handlers.ts';
import { type AuthorityDeps, authorityHandlers } from './authority-handlers.ts';
import { type DeclaredDeps, declaredHandlers } from './declared-handlers.ts';
import { createDoor, type DoorDeps } from './door.ts';
import { type FleetDeps, fleetHandlers } from './fleet-handlers.ts';
import { addHealth } from './health.ts';
import { type HealthDeps, healthHandlers, watchHandlers } from './health-handlers.ts';
import { type MaintenanceDeps, maintenanceHandlers } from './maintenance-handlers.ts';
import { type NotificationApiDeps, notificationHandlers } from './notification-handlers.ts';
import { type PackDeps, packHandlers } from './pack-handlers.ts';
import { addReflection } from './reflection.ts';
import { runHandlers } from './run-handlers.ts';
import { StreamTable, serve } from './serve.ts';
import { reloadableTls, type TlsIdentity } from './tls.ts';

export interface OperatorApiDeps
  extends PackDeps,
    DeclaredDeps,
    AlertDeps,
    AuthorityDeps,
    NotificationApiDeps,
    Pick<HealthDeps, 'health'>,
    MaintenanceDeps,
    Pick<FleetDeps, 'agents'>,
    Pick<DoorDeps, 'clock' | 'observe'> {
  readonly runs: RunService;
  readonly access: AccessService;
  readonly audit: AuditLog;
  readonly tracer: LinkTracer;
  /** What WhoAmI tells of the server. */
  facts(): ServerFacts;
  readonly log: Pick<Logger, 'error' | 'warn'>;
}

export interface OperatorApiConfig {
  /** `port` 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly tls: TlsIdentity;
}

export interface OperatorApi {
  readonly port: number;
  /** What gRPC health says. True from the start; false from `close` on. */
  setServing(serving: boolean): void;
  /** For connections from now on. @throws when certificate and key do not fit; the last good ones stay. */
  updateTls(identity: TlsIdentity): void;
  /** Streams end with SERVER_STOPPING, requests under way are answered, and what is left after `graceMs` is cut. */
  close(graceMs: number): Promise<void>;
}

const OPTIONS = {
  'grpc.max_receive_message_length': MAX_SERVER_MESSAGE_BYTES,
  'grpc.max_concurrent_streams': 100,
  // A laptop that was shut in the middle of a watch is noticed within 40 s.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_idle_ms': 300_000,
  'grpc.enable_channelz': 0,
} as const satisfies ServerOptions;

const SERVICES = [
  'RunService',
  'FleetService',
  'PackService',
  'AccessService',
  'AuthorityService',
  'AlertService',
  'EventService',
  'DeclaredService',
  'NotificationService',
  'HealthService',
  'WatchService',
  'MaintenanceService',
].map((name) => `openline.operator.v1.${name}`);

/**
 * The port that operators use: gRPC over TLS, a token with each request.
 * @throws OpenlineError PORT_IN_USE
 */
export async function startOperatorApi(
  deps: OperatorApiDeps,
  { listen, tls }: OperatorApiConfig,
): Promise<OperatorApi> {
  const { log } = deps;
  const door = createDoor(deps);
  const server = new Server({ ...OPTIONS, interceptors: [door.interceptor] });
  const streams = new StreamTable();
  const serving = { server, door, streams, log };
  serve(serving, RunServiceService, runHandlers(deps));
  serve(serving, FleetServiceService, fleetHandlers(deps));
  serve(serving, PackServiceService, packHandlers(deps));
  serve(serving, AccessServiceService, accessHandlers(deps));
  serve(serving, AuthorityServiceService, authorityHandlers(deps));
  serve(serving, AlertServiceService, alertHandlers(deps));
  serve(serving, EventServiceService, eventHandlers(deps));
  serve(serving, DeclaredServiceService, declaredHandlers(deps));
  serve(serving, NotificationServiceService, notificationHandlers(deps));
  serve(serving, HealthServiceService, healthHandlers(deps));
  serve(serving, WatchServiceService, watchHandlers(deps));
  serve(serving, MaintenanceServiceService, maintenanceHandlers(deps));
  const health = addHealth(server, SERVICES);
  addReflection(server, [...SERVICES, 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection']);

  const { credentials, update } = reloadableTls(tls);
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  const port = await bind(server, `${host}:${listen.port}`, credentials);

  return {
    port,
    setServing: health.setServing,
    updateTls: update,
    close(graceMs) {
      health.setServing(false);
      streams.endAll(new OpenlineError('SERVER_STOPPING', 'the server is being stopped; ask again in a moment'));
      return new Promise((resolve) => {
        // `drain` cuts what is left after the grace; `forceShutdown` would leave live streams open (channelz is off).
        server.drain(`${host}:${port}`, graceMs);
        server.tryShutdown(() => resolve());
      });
    },
  };
}

function bind(server: Server, address: string, credentials: Parameters<Server['bindAsync']>[1]): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error === null) return resolve(port);
      const inUse = error.message.includes('EADDRINUSE');
      reject(
        inUse ? new OpenlineError('PORT_IN_USE', `another program listens on ${address}`, { cause: error }) : error,
      );
    });
  });
}
