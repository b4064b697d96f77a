import type { Server, ServerDuplexStream } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '@openline/proto/reflection';

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;
type Question = ServerReflectionRequest['messageRequest'];

/**
 * gRPC's reflection, so that grpcurl and its like need no .proto files.
 * @param services full names of what this server serves
 * @see proto/grpc/reflection/v1/reflection.proto; ADR 0009 says why this is not @grpc/reflection
 */
export function addReflection(server: Server, services: readonly string[]): void {
  const handlers = {
    serverReflectionInfo(call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>) {
      void converse(call, services);
    },
  };
  server.addService(ServerReflectionService, handlers);
  // What older grpcurls ask: the same messages under another name.
  const { serverReflectionInfo } = ServerReflectionService;
  const path = serverReflectionInfo.path.replace('.v1.', '.v1alpha.');
  server.addService({ serverReflectionInfo: { ...serverReflectionInfo, path } }, handlers);
}

/** One question at a time: the next one is read when the answer to this one has been taken. */
async function converse(
  call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>,
  services: readonly string[],
): Promise<void> {
  try {
    for await (const request of call as AsyncIterable<ServerReflectionRequest>) {
      const messageResponse = await answerTo(request.messageRequest, services);
      await new Promise((taken) =>
        call.write({ validHost: request.host, originalRequest: request, messageResponse }, taken),
      );
    }
    call.end();
  } catch {
    // The caller has gone in the middle of a question.
    call.destroy();
  }
}

async function answerTo(question: Question, services: readonly string[]): Promise<Answer> {
  if (question?.$case === 'listServices') {
    return { $case: 'listServicesResponse', value: { service: services.map((name) => ({ name })) } };
  }
  // Most servers are never asked: the descriptors are decoded at the first question.
  const { filesDeclaring, filesNamed } = await import('@openline/proto/descriptors');
  switch (question?.$case) {
    case 'fileByFilename':
      return found(filesNamed(question.value), question.value);
    case 'fileContainingSymbol':
      return found(filesDeclaring(question.value), question.value);
    case 'fileContainingExtension':
    case 'allExtensionNumbersOfType':
      return failed(status.NOT_FOUND, 'these files declare no extensions');
    case undefined:
      return failed(status.INVALID_ARGUMENT, 'the request asks nothing');
    default:
      return question satisfies never;
  }
}

function found(files: Uint8Array[] | undefined, wanted: string): Answer {
  if (files === undefined) return failed(status.NOT_FOUND, `nothing here is called ${wanted.slice(0, 200)}`);
  return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: files.map((file) => Buffer.from(file)) } };
}

function failed(errorCode: status, errorMessage: string): Answer {
  return { $case: 'errorResponse', value: { errorCode, errorMessage } };
}
