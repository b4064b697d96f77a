import { envOf, flagOf, KEY_NAMES, KEYS } from './keys.ts';

export interface KeyDescription {
  /** As in the YAML file. */
  readonly name: string;
  readonly flag: string;
  readonly env: string;
  readonly type: string;
  readonly default: string;
  readonly description: string;
}

export function describeConfig(): KeyDescription[] {
  return KEY_NAMES.map((name) => {
    const { type, default: byDefault, description } = KEYS[name];
    return { name, flag: flagOf(name), env: envOf(name), type, default: byDefault, description };
  });
}

/** The server's part of docs/configuration.md. */
export function renderConfigReference(): string {
  const rows = describeConfig().map((key) => {
    const byDefault = key.default === '' ? '' : `\`${key.default}\``;
    return `| \`${key.name}\` | \`${key.flag}\`<br>\`${key.env}\` | ${key.type.replaceAll('|', '\\|')} | ${byDefault} | ${key.description} |`;
  });
  return `${['| Key | Flag, environment variable | Type | Default | What it does |', '| --- | --- | --- | --- | --- |', ...rows].join('\n')}\n`;
}
