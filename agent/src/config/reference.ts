import { envOf, KEY_NAMES, KEYS } from './keys.ts';

export interface KeyDescription {
  /** As in the YAML file, nested at the dots. */
  readonly name: string;
  readonly flag: string;
  readonly env: string;
  readonly type: string;
  readonly default: string;
  readonly description: string;
}

export function describeConfig(): KeyDescription[] {
  return KEY_NAMES.map((name) => {
    const { flag, type, default: byDefault, description } = KEYS[name];
    return { name, flag: `--${flag}`, env: envOf(name), type, default: byDefault, description };
  });
}

/** The agent's part of docs/configuration.md. */
export function renderConfigReference(): string {
  const rows = describeConfig().map((key) => {
    const byDefault = key.default === '' ? '' : `\`${key.default}\``;
    return `| \`${key.name}\` | \`${key.flag}\`<br>\`${key.env}\` | ${key.type.replaceAll('|', '\\|')} | ${byDefault} | ${key.description} |`;
  });
  return `${['| Key | Flag, environment variable | Type | Default | What it does |', '| --- | --- | --- | --- | --- |', ...rows].join('\n')}\n`;
}

export function usage(): string {
  const lines = describeConfig().map(
    ({ flag, default: byDefault, description }) =>
      `  ${flag}\n      ${description}${byDefault === '' ? '' : ` (default: ${byDefault})`}`,
  );
  return `${[
    'Usage: openline agent [flags]',
    '',
    'Keeps one open line to the management server, and runs there what it is asked to run.',
    '',
    '  --config',
    '      A YAML file with the keys of docs/configuration.md. (environment: OPENLINE_AGENT_CONFIG)',
    ...lines,
  ].join('\n')}\n`;
}
