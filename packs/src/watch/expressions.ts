import { createExpressionChecker, type Scope, type Wanted } from '../cel/check.ts';
import { parseTemplate, TemplateError, type TemplatePart } from '../cel/template.ts';
import { textOf } from '../read.ts';
import type { Located, Report } from '../source.ts';

/** Reads expressions and templates of one pack, with their problems at the very character where the file allows it. */
export interface ExpressionReader {
  expression(node: Located | undefined, what: string, scope: Scope, wanted: Wanted): string | undefined;
  /** A text with `${CEL}` in it. */
  template(node: Located | undefined, what: string, scope: Scope, maxChars: number): string | undefined;
  /** The texts in a value, at any depth, are templates. @returns whether there is an expression in it */
  templates(node: Located, what: string, scope: Scope): boolean;
}

const MAX_TEMPLATE_CHARS = 8000;

export function createExpressionReader(report: Report): ExpressionReader {
  const check = createExpressionChecker();

  function problem(node: Located, what: string, at: number, message: string): void {
    const textAt = node.kind === 'scalar' ? node.textAt : undefined;
    if (textAt !== undefined) report.add(textAt + at, `in ${what}: ${message}`);
    else report.add(node.at, `in ${what}, at character ${at + 1}: ${message}`);
  }

  function checkExpression(node: Located, what: string, text: string, at: number, scope: Scope, wanted: Wanted): void {
    const found = check(text, scope, wanted);
    if (found !== undefined) problem(node, what, at + found.at, found.message);
  }

  /** @returns whether there is an expression in it */
  function checkTemplate(node: Located, what: string, text: string, scope: Scope, whole: Wanted): boolean {
    let parts: readonly TemplatePart[];
    try {
      parts = parseTemplate(text);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      problem(node, what, error.at, error.message);
      return true;
    }
    const wanted = parts.length === 1 ? whole : 'text';
    let dynamic = false;
    for (const part of parts) {
      if (part.kind === 'text') continue;
      dynamic = true;
      checkExpression(node, what, part.text, part.at, scope, wanted);
    }
    return dynamic;
  }

  function templates(node: Located, what: string, scope: Scope): boolean {
    switch (node.kind) {
      case 'scalar':
        return typeof node.value === 'string' && checkTemplate(node, what, node.value, scope, 'any');
      case 'list':
        return node.items.map((item) => templates(item, what, scope)).includes(true);
      case 'map':
        return [...node.entries.values()].map(({ value }) => templates(value, what, scope)).includes(true);
      default:
        return node satisfies never;
    }
  }

  return {
    expression(node, what, scope, wanted) {
      const text = textOf(report, node, `${what}, an expression,`, MAX_TEMPLATE_CHARS);
      if (node !== undefined && text !== undefined) checkExpression(node, what, text, 0, scope, wanted);
      return text;
    },
    template(node, what, scope, maxChars) {
      const text = textOf(report, node, what, maxChars);
      if (node !== undefined && text !== undefined) checkTemplate(node, what, text, scope, 'text');
      return text;
    },
    templates,
  };
}
