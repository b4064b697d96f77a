import { fieldsOf, textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import type { ChannelKind, TemplateTexts } from '../channels/channel.ts';
import { sampleMessage } from './sample.ts';
import { compileTemplate, type Escaping, MAX_TEMPLATE_CHARS, TemplateError } from './template.ts';
import { viewOf } from './view.ts';

export const TEMPLATE_FIELDS = ['subject', 'text', 'html', 'body'] as const;
type TemplateField = (typeof TEMPLATE_FIELDS)[number];

/** Which templates a kind of channel uses. */
export const FIELDS_OF = {
  smtp: ['subject', 'text', 'html'],
  webhook: ['body'],
  slack: ['text'],
  teams: ['text'],
  alertmanager: [],
  command: [],
} as const satisfies Record<ChannelKind, readonly TemplateField[]>;

const ESCAPING = { subject: 'none', text: 'none', html: 'html', body: 'json' } as const satisfies Record<
  TemplateField,
  Escaping
>;

/** Compiles each, so that what is wrong with one is said where it is declared. @param kinds of the channels that will use them */
export function readTemplates(report: Report, node: Located | undefined, kinds: readonly ChannelKind[]): TemplateTexts {
  if (node === undefined) return {};
  const fields = fieldsOf(report, node, "'templates'", TEMPLATE_FIELDS);
  const texts: { [Field in TemplateField]?: string } = {};
  for (const field of TEMPLATE_FIELDS) {
    const entry = fields[field];
    if (entry === undefined) continue;
    const used = kinds.some((kind) => FIELDS_OF[kind].some((each) => each === field));
    if (!used) report.add(entry.keyAt, `a channel of the kind ${kinds.join(', ')} has no template '${field}'`);
    const text = textOf(report, entry.value, `'${field}'`, MAX_TEMPLATE_CHARS);
    if (text === undefined) continue;
    if (checkTemplate(report, entry.value, field, text)) texts[field] = text;
  }
  return texts;
}

function checkTemplate(report: Report, node: Located, field: TemplateField, text: string): boolean {
  try {
    const template = compileTemplate(text, ESCAPING[field]);
    if (field !== 'body') return true;
    for (const kind of ['opened', 'closed', 'digest'] as const) {
      const problem = jsonProblem(template.render(viewOf(sampleMessage(kind))));
      if (problem === undefined) continue;
      report.add(
        node.at,
        `'body' gives no JSON for ${kind === 'digest' ? 'a digest' : `an alert that is ${kind}`}: ${problem}`,
      );
      return false;
    }
    return true;
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    report.add(...placeIn(node, text, error, field));
    return false;
  }
}

/** The place in the file where the file has the template letter by letter; else the line and column within it. */
function placeIn(node: Located, text: string, { at, message }: TemplateError, field: string): [number, string] {
  if (node.kind === 'scalar' && node.textAt !== undefined) return [node.textAt + at, `'${field}': ${message}`];
  const before = text.slice(0, at).split('\n');
  const column = (before.at(-1)?.length ?? 0) + 1;
  return [node.at, `'${field}', its line ${before.length}, column ${column}: ${message}`];
}

function jsonProblem(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
