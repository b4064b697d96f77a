import { createFileRegistry, type DescFile, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { FILE_DESCRIPTOR_SET } from '../gen/descriptors.ts';

/** The .proto files as reflection hands them out. Decoded when this module is loaded: import it lazily. */
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, Buffer.from(FILE_DESCRIPTOR_SET, 'base64')));

/** The encoded file and everything that it imports, the file first. */
export function filesNamed(fileName: string): Uint8Array[] | undefined {
  const file = registry.getFile(fileName);
  return file === undefined ? undefined : withImports(file);
}

/** @param symbol full name of a message, enum, service, method, field or enum value */
export function filesDeclaring(symbol: string): Uint8Array[] | undefined {
  const file = registry.get(symbol)?.file ?? registry.get(symbol.slice(0, symbol.lastIndexOf('.')))?.file;
  return file === undefined ? undefined : withImports(file);
}

function withImports(file: DescFile): Uint8Array[] {
  const files = new Set<DescFile>();
  const add = (one: DescFile) => {
    if (files.has(one)) return;
    files.add(one);
    for (const imported of one.dependencies) add(imported);
  };
  add(file);
  return [...files].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
}
