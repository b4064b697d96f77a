import { type Server, type ServerWritableStream, status } from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthServer,
  HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '@openline/proto/health';

export interface Health {
  setServing(serving: boolean): void;
}

/** A watch needs no token, so there is a limit to them. */
const MAX_WATCHES = 1_000;

/**
 * gRPC's health protocol, for the server ("") and for each of its services by name.
 * @see proto/grpc/health/v1/health.proto; ADR 0009 says why this is not grpc-health-check
 */
export function addHealth(server: Server, services: readonly string[]): Health {
  let serving = true;
  const watches = new Set<ServerWritableStream<HealthCheckRequest, HealthCheckResponse>>();

  const answer = (): HealthCheckResponse => ({ status: serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING });
  const isKnown = (service: string) => service === '' || services.includes(service);

  const implementation: HealthServer = {
    check(call, callback) {
      if (isKnown(call.request.service)) callback(null, answer());
      else callback({ code: status.NOT_FOUND, details: 'there is no service of that name here' });
    },
    list(_call, callback) {
      callback(null, { statuses: Object.fromEntries(['', ...services].map((service) => [service, answer()])) });
    },
    watch(call) {
      if (watches.size >= MAX_WATCHES) {
        call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'too many health watches' });
        return;
      }
      if (!isKnown(call.request.service)) {
        call.write({ status: ServingStatus.SERVICE_UNKNOWN });
      } else {
        call.write(answer());
        watches.add(call);
      }
      const forget = () => watches.delete(call);
      call.on('cancelled', forget);
      call.on('close', forget);
    },
  };
  server.addService(HealthService, implementation);

  return {
    setServing(now) {
      if (now === serving) return;
      serving = now;
      for (const watch of watches) watch.write(answer());
    },
  };
}
