import { createHash } from 'node:crypto';
import { type Context, compileExpression, keyOf, plainValue, wordsOf } from '../cel/evaluate.ts';
import { parseTemplate } from '../cel/template.ts';
import type { AlertSpec, Severity, TaskAnswer } from '../monitoring.ts';
import type { AlertContent, Answer } from './outcome.ts';

/** The texts of alerts and the parameters of answers, ready to be filled in. */

/** Told of each expression that could not be worked out. */
export type OnError = (error: unknown) => void;

const MAX_TITLE_CHARS = 200;
const MAX_DESCRIPTION_CHARS = 4000;
/** Of keys, values of `by`, and instances. */
export const MAX_KEY_CHARS = 200;
/** Stands where an expression could not be worked out: a text with a hole is better than no alert. */
const HOLE = '?';

export type Filled = (context: Context, onError: OnError) => string;

export function compileTemplate(template: string): Filled {
  const parts = parseTemplate(template).map((part) =>
    part.kind === 'text' ? part.text : compileExpression(part.text),
  );
  return (context, onError) =>
    parts
      .map((part) => {
        if (typeof part === 'string') return part;
        try {
          return wordsOf(part(context));
        } catch (error) {
          onError(error);
          return HOLE;
        }
      })
      .join('');
}

export type AlertTexts = (context: Context, key: string, severity: Severity, onError: OnError) => AlertContent;

export function compileAlert({ title, description }: AlertSpec): AlertTexts {
  const titleOf = compileTemplate(title);
  const descriptionOf = compileTemplate(description);
  return (context, key, severity, onError) => ({
    severity,
    key,
    title: titleOf(context, onError).replace(/\s+/g, ' ').trim().slice(0, MAX_TITLE_CHARS),
    description: descriptionOf(context, onError).trim().slice(0, MAX_DESCRIPTION_CHARS),
  });
}

export type AnswerTexts = (context: Context, onError: OnError) => Answer | undefined;

/** Of an answer whose parameters cannot be worked out there is none: a task with a hole in it could do something else. */
export function compileAnswer(answer: TaskAnswer, ownPack: string): AnswerTexts {
  const { task, cooldownMs } = answer;
  const pack = answer.pack ?? ownPack;
  const parametersOf = Object.entries(answer.parameters).map(([name, value]) => [name, compileValue(value)] as const);
  return (context, onError) => {
    try {
      const parameters = Object.fromEntries(parametersOf.map(([name, filled]) => [name, filled(context)]));
      return { pack, task, parameters, cooldownMs };
    } catch (error) {
      onError(error);
      return undefined;
    }
  };
}

/** A value with templates in it, at any depth. @throws Error (what it returns) when an expression in it fails */
export function compileValue(value: unknown): (context: Context) => unknown {
  if (typeof value === 'string') return compileTextValue(value);
  if (Array.isArray(value)) {
    const items = value.map(compileValue);
    return (context) => items.map((item) => item(context));
  }
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([key, each]) => [key, compileValue(each)] as const);
    return (context) => Object.fromEntries(fields.map(([key, each]) => [key, each(context)]));
  }
  return () => value;
}

/** One `${CEL}` alone keeps the type of its value. */
function compileTextValue(text: string): (context: Context) => unknown {
  const parts = parseTemplate(text);
  const [only] = parts;
  if (parts.length === 1 && only?.kind === 'expression') {
    const expression = compileExpression(only.text);
    return (context) => plainValue(expression(context));
  }
  const filled = compileTemplate(text);
  return (context) =>
    filled(context, (error) => {
      throw error;
    });
}

/** A key, a value of `by`, an instance: exact; what is too long to be remembered is cut, and told apart by a hash. @throws Error */
export function shortKey(value: unknown): string {
  const key = keyOf(value);
  if (key.length <= MAX_KEY_CHARS) return key;
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 12);
  return `${key.slice(0, MAX_KEY_CHARS - hash.length - 1).toWellFormed()}…${hash}`;
}
