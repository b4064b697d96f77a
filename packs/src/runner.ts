import { didYouMean } from '@openline/proto/suggest';
import type { Argument, Builtin, Interpreter, Runner } from './pack.ts';
import { choiceOf, fieldsOf, itemsOf, need, oneOf, textOf } from './read.ts';
import type { Located, Report } from './source.ts';

export const INTERPRETERS: readonly Interpreter[] = ['sh', 'bash', 'python3', 'node', 'pwsh'];
export const BUILTINS: readonly Builtin[] = ['ping', 'event'];
const KINDS = ['command', 'script', 'builtin'] as const;

const MAX_ARGUMENTS = 100;
const MAX_ARGUMENT_CHARS = 4096;
const MAX_SCRIPT_CHARS = 256 * 1024;

/** What `run` says. Exactly one of the three. @param noun what `{param: …}` names: parameters of a task, settings of a monitor */
export function readRunner(
  report: Report,
  node: Located | undefined,
  parameters: readonly string[],
  noun: 'parameters' | 'settings' = 'parameters',
): Runner | undefined {
  if (node === undefined) return undefined;
  const fields = fieldsOf(report, node, "'run'", KINDS);
  const given = KINDS.filter((kind) => fields[kind] !== undefined);
  const [kind, second] = given;
  if (kind === undefined || second !== undefined) {
    if (node.kind === 'map') report.add(node.at, `'run' has exactly one of ${KINDS.join(', ')}`);
    return undefined;
  }
  switch (kind) {
    case 'command':
      return readCommand(report, fields.command?.value, { names: parameters, noun });
    case 'script':
      return readScript(report, fields.script?.value);
    case 'builtin': {
      const name = choiceOf(report, fields.builtin?.value, "'builtin'", BUILTINS);
      return name === undefined ? undefined : { kind, name };
    }
    default:
      return kind satisfies never;
  }
}

interface Named {
  readonly names: readonly string[];
  readonly noun: 'parameters' | 'settings';
}

function readCommand(report: Report, node: Located | undefined, parameters: Named): Runner | undefined {
  const items = itemsOf(report, node, "'command'");
  const [first, ...rest] = items;
  if (node === undefined || node.kind !== 'list') return undefined;
  if (first === undefined) {
    report.add(node.at, "'command' names no program");
    return undefined;
  }
  if (items.length > MAX_ARGUMENTS) report.add(node.at, `'command' has at most ${MAX_ARGUMENTS} elements`);
  const program = textOf(report, first, 'the program, the first element of the command,', MAX_ARGUMENT_CHARS);
  const args = rest.map((item) => readArgument(report, item, parameters));
  if (program === undefined) return undefined;
  return { kind: 'command', program, args: args.filter((argument) => argument !== undefined) };
}

function readArgument(report: Report, node: Located, { names, noun }: Named): Argument | undefined {
  if (node.kind === 'map') {
    const { param } = fieldsOf(report, node, 'an argument', ['param']);
    const value = need(
      report,
      node.at,
      param?.value,
      "an argument that is a mapping needs 'param', the name of a parameter",
    );
    const name = textOf(report, value, "'param'", 63);
    if (name === undefined || value === undefined) return undefined;
    if (!names.includes(name)) {
      const hint = didYouMean(name, names) || (names.length > 0 ? `; there is ${oneOf(names)}` : '');
      const whose = noun === 'settings' ? 'the monitor has no setting' : 'the task has no parameter';
      report.add(value.at, `${whose} '${name}'${hint}`);
    }
    return { kind: 'parameter', name };
  }
  const text =
    node.kind === 'scalar' && node.value === '' ? '' : textOf(report, node, 'an argument', MAX_ARGUMENT_CHARS);
  return text === undefined ? undefined : { kind: 'literal', text };
}

function readScript(report: Report, node: Located | undefined): Runner | undefined {
  if (node === undefined) return undefined;
  const fields = fieldsOf(report, node, "'script'", ['interpreter', 'source']);
  if (node.kind !== 'map') return undefined;
  const interpreterNode = need(
    report,
    node.at,
    fields.interpreter?.value,
    `'script' needs 'interpreter': ${oneOf(INTERPRETERS)}`,
  );
  const sourceNode = need(report, node.at, fields.source?.value, "'script' needs 'source', the text of the script");
  const interpreter = choiceOf(report, interpreterNode, "'interpreter'", INTERPRETERS);
  const source = textOf(report, sourceNode, "'source'", MAX_SCRIPT_CHARS);
  if (interpreter === undefined || source === undefined) return undefined;
  return { kind: 'script', interpreter, source };
}
