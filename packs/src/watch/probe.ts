import type { Scope } from '../cel/check.ts';
import type { Probe } from '../monitoring.ts';
import { booleanOf, choiceOf, type Fields, fieldsOf, integerOf, itemsOf, need, oneOf } from '../read.ts';
import { readRunner } from '../runner.ts';
import type { Located } from '../source.ts';
import type { WatchContext } from './context.ts';
import { readPattern } from './match.ts';

export const PROBE_KINDS = ['run', 'http', 'tcp', 'dns', 'process', 'certificate'] as const;
const DNS_TYPES = ['A', 'AAAA', 'CNAME', 'MX', 'TXT', 'SRV'] as const;
const MAX_TARGET_CHARS = 2000;
const MAX_FILES = 20;

/** @param scope of settings and the agent; @param output what the field beside `run` says */
export function readProbe(
  context: WatchContext,
  node: Located,
  fields: Fields<(typeof PROBE_KINDS)[number] | 'output'>,
  scope: Scope,
): Probe | undefined {
  const { report } = context;
  const [kind, second] = PROBE_KINDS.filter((each) => fields[each] !== undefined);
  if (kind === undefined || second !== undefined) {
    if (node.kind === 'map') report.add(node.at, `'probe' has exactly one of ${PROBE_KINDS.join(', ')}`);
    return undefined;
  }
  const value = fields[kind]?.value;
  if (value === undefined) return undefined;
  if (kind !== 'run' && fields.output !== undefined) report.add(fields.output.keyAt, "'output' is for 'run'");
  switch (kind) {
    case 'run': {
      const runner = readRunner(report, value, Object.keys(scope.settings), 'settings');
      const output = choiceOf(report, fields.output?.value, "'output'", ['json', 'text']) ?? 'json';
      if (runner?.kind !== 'builtin') return runner === undefined ? undefined : { kind, runner, output };
      report.add(value.at, "a probe runs a 'command' or a 'script'");
      return undefined;
    }
    case 'http':
      return readHttp(context, value, scope);
    case 'tcp': {
      const given = fieldsOf(report, value, "'tcp'", ['host', 'port']);
      return {
        kind,
        host: readTarget(context, value, given.host?.value, 'host', scope),
        port: readPort(context, value, given.port?.value, scope),
      };
    }
    case 'dns': {
      const given = fieldsOf(report, value, "'dns'", ['host', 'type']);
      const type = choiceOf(report, given.type?.value, "'type'", DNS_TYPES) ?? 'A';
      return { kind, host: readTarget(context, value, given.host?.value, 'host', scope), type };
    }
    case 'process':
      return readProcess(context, value, scope);
    case 'certificate':
      return readCertificate(context, value, scope);
    default:
      return kind satisfies never;
  }
}

function readTarget(
  { report, expressions }: WatchContext,
  at: Located,
  node: Located | undefined,
  name: string,
  scope: Scope,
): string {
  const given = need(report, at.at, node, `the probe needs '${name}'`);
  return expressions.template(given, `'${name}'`, scope, MAX_TARGET_CHARS) ?? '';
}

function readPort(context: WatchContext, at: Located, node: Located | undefined, scope: Scope): number | string {
  const given = need(context.report, at.at, node, "the probe needs 'port'");
  if (given?.kind === 'scalar' && typeof given.value === 'string') {
    return context.expressions.template(given, "'port'", scope, MAX_TARGET_CHARS) ?? 0;
  }
  return integerOf(context.report, given, "'port'", 1, 65_535) ?? 0;
}

function readHttp(context: WatchContext, node: Located, scope: Scope): Probe {
  const { report } = context;
  const fields = fieldsOf(report, node, "'http'", ['url', 'method', 'pattern', 'verifyTls']);
  const url = readTarget(context, node, fields.url?.value, 'url', scope);
  if (url !== '' && !/^(https?:\/\/|\$\{)/.test(url)) {
    report.add(fields.url?.value.at ?? node.at, "'url' begins with http:// or https://");
  }
  return {
    kind: 'http',
    url,
    method: choiceOf(report, fields.method?.value, "'method'", ['GET', 'HEAD']) ?? 'GET',
    pattern: readPattern(report, fields.pattern?.value, "'pattern'").pattern,
    verifyTls: booleanOf(report, fields.verifyTls?.value, "'verifyTls'") ?? true,
  };
}

function readProcess(context: WatchContext, node: Located, scope: Scope): Probe {
  const { report, expressions } = context;
  const fields = fieldsOf(report, node, "'process'", ['name', 'pattern']);
  if (node.kind === 'map' && (fields.name === undefined) === (fields.pattern === undefined)) {
    report.add(node.at, "'process' has exactly one of name, pattern");
  }
  const pattern = expressions.template(fields.pattern?.value, "'pattern'", scope, MAX_TARGET_CHARS);
  if (pattern !== undefined && !pattern.includes('${')) readPattern(report, fields.pattern?.value, "'pattern'");
  return {
    kind: 'process',
    name: expressions.template(fields.name?.value, "'name'", scope, MAX_TARGET_CHARS),
    pattern,
  };
}

function readCertificate(context: WatchContext, node: Located, scope: Scope): Probe {
  const { report, expressions } = context;
  const fields = fieldsOf(report, node, "'certificate'", ['files', 'host', 'port']);
  if (fields.files === undefined) {
    const host = readTarget(context, node, fields.host?.value, `host' or 'files`, scope);
    const port = integerOf(report, fields.port?.value, "'port'", 1, 65_535) ?? 443;
    return { kind: 'certificate', of: { host, port } };
  }
  const other = fields.host ?? fields.port;
  if (other !== undefined)
    report.add(other.keyAt, `'files' and a server exclude each other: ${oneOf(['files', 'host'])}`);
  const items = itemsOf(report, fields.files.value, "'files'");
  if (fields.files.value.kind === 'list' && items.length === 0)
    report.add(fields.files.value.at, "'files' lists no file");
  if (items.length > MAX_FILES) report.add(fields.files.value.at, `'files' has at most ${MAX_FILES} entries`);
  const files = items.map((item) => expressions.template(item, "'files'", scope, MAX_TARGET_CHARS));
  return { kind: 'certificate', of: { files: files.filter((file) => file !== undefined) } };
}
