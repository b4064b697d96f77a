import { didYouMean } from '@openline/packs';
import Mustache from 'mustache';
import { type Shape, type ShapeOf, VIEW_SHAPE, type View } from './view.ts';

/** Mustache without its back doors: no unescaped values, no partials, no other brackets; and only names that there are. */
export interface Template {
  render(view: View): string;
}

/** How values are escaped where they stand. */
export type Escaping = 'none' | 'html' | 'json' | 'mrkdwn';

export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  /** Characters from the beginning of the template. */
  readonly at: number;
  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

const ESCAPES: Readonly<Record<Escaping, (value: unknown) => string>> = {
  none: String,
  html: (value) => Mustache.escape(String(value)),
  json: (value) => JSON.stringify(String(value)).slice(1, -1),
  // https://api.slack.com/reference/surfaces/formatting#escaping
  mrkdwn: (value) => String(value).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
};

export const MAX_TEMPLATE_CHARS = 50_000;
/** What is rendered is cut beyond this: a digest of many long descriptions. */
const MAX_RENDERED_CHARS = 500_000;

/** @throws TemplateError with its place */
export function compileTemplate(text: string, escaping: Escaping): Template {
  const writer = new Mustache.Writer();
  let tokens: unknown;
  try {
    tokens = writer.parse(text);
  } catch (error) {
    throw inPlace(error, text);
  }
  check(tokens, [VIEW_SHAPE]);
  const escapeValue = ESCAPES[escaping];
  return {
    render: (view) => writer.render(text, view, {}, { escape: escapeValue }).slice(0, MAX_RENDERED_CHARS),
  };
}

/** "Unclosed tag at 12" */
function inPlace(error: unknown, text: string): TemplateError {
  const message = error instanceof Error ? error.message : String(error);
  const [, what, at] = /^(.*?)(?: at (\d+))?$/s.exec(message) ?? [];
  const words = (what ?? message).replace(/^Unclosed tag$/, "'{{' is not closed by '}}'");
  return new TemplateError(Math.min(Number(at ?? 0), text.length), words.charAt(0).toLowerCase() + words.slice(1));
}

type Token = readonly [type: string, value: string, start: number, end: number, inner?: unknown];

function isToken(token: unknown): token is Token {
  return (
    Array.isArray(token) && typeof token[0] === 'string' && typeof token[1] === 'string' && typeof token[2] === 'number'
  );
}

/**
 * @param scopes the innermost last, as Mustache looks names up
 * @param lists that are open here: one within itself would be written out in its square
 */
function check(tokens: unknown, scopes: readonly ShapeOf[], lists: readonly string[] = []): void {
  if (!Array.isArray(tokens)) throw new TemplateError(0, 'not a template');
  for (const token of tokens) {
    if (!isToken(token)) throw new TemplateError(0, 'not a template');
    const [type, name, start, , inner] = token;
    switch (type) {
      case 'text':
      case '!':
        break;
      case 'name': {
        const shape = find(name, scopes, start);
        if (shape !== 'text' && shape !== 'flag') {
          throw new TemplateError(start, `'${name}' is no text; open it with {{#${name}}} … {{/${name}}}`);
        }
        break;
      }
      case '#': {
        const shape = find(name, scopes, start);
        const isList = typeof shape === 'object' && 'list' in shape;
        if (isList && lists.includes(name)) throw new TemplateError(start, `'${name}' is open already`);
        check(inner, [...scopes, ...innerScope(shape)], isList ? [...lists, name] : lists);
        break;
      }
      case '^':
        find(name, scopes, start);
        check(inner, scopes, lists);
        break;
      case '{':
      case '&':
        throw new TemplateError(start, `values are always escaped; write {{${name}}}`);
      case '>':
        throw new TemplateError(start, 'a template cannot include another one');
      default:
        throw new TemplateError(start, `a template cannot use {{${type} here`);
    }
  }
}

function innerScope(shape: Shape): ShapeOf[] {
  if (typeof shape === 'string') return [];
  if ('list' in shape) return [shape.list];
  return 'object' in shape ? [shape.object] : [];
}

function find(name: string, scopes: readonly ShapeOf[], at: number): Shape {
  const [first = '', ...rest] = name.split('.');
  const scope = scopes.findLast((each) => Object.hasOwn(each, first));
  let shape: Shape | undefined = scope?.[first];
  if (shape === undefined) {
    const known = [...new Set(scopes.flatMap((each) => Object.keys(each)))];
    throw new TemplateError(at, `there is no '${first}' here${didYouMean(first, known)}`);
  }
  for (const [index, part] of rest.entries()) {
    // A label's name may have dots of its own, which Mustache would take for a path; labelList has them all.
    if (typeof shape === 'object' && 'map' in shape && index === rest.length - 1) return shape.map;
    const inner: ShapeOf = typeof shape === 'object' && 'object' in shape ? shape.object : {};
    const next: Shape | undefined = Object.hasOwn(inner, part) ? inner[part] : undefined;
    if (next === undefined) {
      const path = [first, ...rest.slice(0, index)].join('.');
      throw new TemplateError(at, `'${path}' has no '${part}'${didYouMean(part, Object.keys(inner))}`);
    }
    shape = next;
  }
  return shape;
}
