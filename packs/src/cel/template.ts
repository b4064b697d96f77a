/** A text with `${CEL}` in it, taken apart. `$${` stands for `${` itself. */
export type TemplatePart =
  | { readonly kind: 'text'; readonly text: string }
  /** @property at where the expression begins, in characters of the template */
  | { readonly kind: 'expression'; readonly text: string; readonly at: number };

/** @throws TemplateError */
export function parseTemplate(template: string): readonly TemplatePart[] {
  const parts: TemplatePart[] = [];
  let text = '';
  let at = 0;
  while (at < template.length) {
    const dollar = template.indexOf('$', at);
    if (dollar < 0) break;
    text += template.slice(at, dollar);
    if (template.startsWith('$${', dollar)) {
      text += '${';
      at = dollar + 3;
    } else if (template.startsWith('${', dollar)) {
      const end = endOfExpression(template, dollar + 2);
      if (end === undefined)
        throw new TemplateError(dollar, `'\${' is not closed by '}'; write '$\${' for the characters themselves`);
      const expression = template.slice(dollar + 2, end);
      if (expression.trim() === '') throw new TemplateError(dollar, `'\${}' is empty`);
      if (text !== '') parts.push({ kind: 'text', text });
      text = '';
      parts.push({ kind: 'expression', text: expression, at: dollar + 2 });
      at = end + 1;
    } else {
      text += '$';
      at = dollar + 1;
    }
  }
  text += template.slice(at);
  if (text !== '') parts.push({ kind: 'text', text });
  return parts;
}

/** Braces and quotes within the expression do not end it. */
function endOfExpression(template: string, from: number): number | undefined {
  let depth = 0;
  for (let i = from; i < template.length; i++) {
    const char = template[i];
    if (char === '"' || char === "'") {
      const end = endOfQuote(template, i);
      if (end === undefined) return undefined;
      i = end;
    } else if (char === '{') depth++;
    else if (char === '}' && depth-- === 0) return i;
  }
  return undefined;
}

function endOfQuote(template: string, from: number): number | undefined {
  const quote = template[from] ?? '';
  const delimiter = template.startsWith(quote.repeat(3), from) ? quote.repeat(3) : quote;
  const raw = /[rR]/.test(template[from - 1] ?? '');
  for (let i = from + delimiter.length; i < template.length; i++) {
    if (template[i] === '\\' && !raw) i++;
    else if (template.startsWith(delimiter, i)) return i + delimiter.length - 1;
  }
  return undefined;
}

export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  readonly at: number;

  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}
