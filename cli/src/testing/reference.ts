import type { Command, Option } from 'commander';
import { buildProgram } from '../program.ts';
import { testIo } from './io.ts';

/** The command reference of docs/cli.md, made from the commands themselves. A test compares them. */
export function renderCliReference(): string {
  const program = buildProgram(testIo(), () => {});
  const lines: string[] = ['### Flags of every command that asks the server', '', ...optionLines(program.options), ''];
  const walk = (command: Command, path: string) => {
    for (const child of command.commands) {
      const name = `${path} ${child.name()}`;
      const words = child.registeredArguments.map((argument) => {
        const inner = argument.name() + (argument.variadic ? '…' : '');
        return argument.required ? inner.toUpperCase() : `[${inner.toUpperCase()}]`;
      });
      lines.push(`### \`${[name, ...words].join(' ')}\``, '', sentence(child.description()), '');
      const described = child.registeredArguments.filter((argument) => argument.description !== '');
      if (described.length > 0)
        lines.push(...described.map((argument) => `- \`${argument.name().toUpperCase()}\`: ${argument.description}`));
      lines.push(...optionLines(child.options));
      if (lines.at(-1) !== '') lines.push('');
      walk(child, name);
    }
  };
  walk(program, 'openline');
  return `${lines.join('\n').trimEnd()}\n`;
}

function optionLines(options: readonly Option[]): string[] {
  return options.map((option) => {
    const fallback = option.defaultValue === undefined ? '' : ` (default: ${String(option.defaultValue)})`;
    const choices =
      option.argChoices === undefined || option.long === '--output' ? '' : ` (${option.argChoices.join(', ')})`;
    return `- \`${option.flags}\`: ${option.description}${choices}${fallback}`;
  });
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
