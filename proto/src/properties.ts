/** What a parameter can be given of the target that it reaches, by the agent there. */
export type Property =
  | { readonly kind: 'label'; readonly key: string }
  | { readonly kind: 'fact'; readonly key: string }
  | { readonly kind: 'name' };

/** What an agent is, as selectors see it. */
export interface Properties {
  readonly name: string;
  /** The effective ones. */
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
}

/** For messages. */
export const PROPERTY_FORMS = 'label:KEY, fact:KEY or name';

// The keys that a selector can name.
const REFERENCE = /^(?:(label|fact):([A-Za-z0-9_./-]{1,512})|name)$/;

/** @returns undefined for what has none of the forms */
export function parseProperty(text: string): Property | undefined {
  const [found, kind, key = ''] = REFERENCE.exec(text) ?? [];
  if (found === undefined) return undefined;
  return kind === 'label' || kind === 'fact' ? { kind, key } : { kind: 'name' };
}

/** @returns undefined where the target has no such property; "" is a value */
export function propertyOf(target: Properties, property: Property): string | undefined {
  switch (property.kind) {
    case 'label':
      return own(target.labels, property.key);
    case 'fact':
      return own(target.facts, property.key);
    case 'name':
      return target.name;
    default:
      return property satisfies never;
  }
}

export type Texts =
  | { readonly texts: Readonly<Record<string, string>> }
  | { readonly code: 'PARAMETERS_INVALID' | 'REQUIREMENTS_NOT_MET'; readonly reason: string };

/**
 * What one target puts in: text, by the name of the parameter; or why it cannot.
 * @param references by the name of the parameter
 */
export function textsFor(references: Readonly<Record<string, string>>, target: Properties): Texts {
  const texts: Record<string, string> = {};
  for (const [name, reference] of Object.entries(references)) {
    const property = parseProperty(reference);
    if (property === undefined) {
      const reason = `parameter '${name}' cannot be «${reference}»: a property of the target is ${PROPERTY_FORMS}`;
      return { code: 'PARAMETERS_INVALID', reason };
    }
    const text = propertyOf(target, property);
    if (text === undefined) {
      const reason = `this agent has no ${reference.replace(':', ' ')}, which parameter '${name}' is to be`;
      return { code: 'REQUIREMENTS_NOT_MET', reason };
    }
    texts[name] = text;
  }
  return { texts };
}

function own(record: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

/** What the server pinned goes before what the agent says of itself: here, in every selector, and in its SQL (`valueSql`). */
export function effectiveLabels(
  said: Readonly<Record<string, string>>,
  pinned: Readonly<Record<string, string>>,
): Record<string, string> {
  return { ...said, ...pinned };
}
