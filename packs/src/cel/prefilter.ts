import type { ASTNode } from '@marcbachmann/cel-js';
import type { NodeEvent } from '../monitoring.ts';

/** False: the expression cannot be true of the event. True: ask the expression. */
export type Prefilter = (event: NodeEvent) => boolean;

/**
 * What a condition compares an event's own values with, when all of it must hold (`a == 1 && …`): looking at them is many times cheaper than
 * the whole expression, and most events fail at them.
 * @returns undefined when there is nothing to look at
 */
export function prefilterOf(ast: ASTNode): Prefilter | undefined {
  const tests = conjuncts(ast).flatMap((node) => testOf(node) ?? []);
  const [first, second] = tests;
  if (first === undefined || second === undefined) return first;
  return (event) => tests.every((test) => test(event));
}

function conjuncts(node: ASTNode): readonly ASTNode[] {
  return node.op === '&&' ? node.args.flatMap(conjuncts) : [node];
}

function testOf(node: ASTNode): Prefilter | undefined {
  if (node.op === '==') {
    const [left, right] = node.args;
    return equalTo(valueAt(left), literal(right)) ?? equalTo(valueAt(right), literal(left));
  }
  if (node.op === 'in') {
    const [left, right] = node.args;
    const value = valueAt(left);
    const among = right.op === 'list' ? right.args.map(literal) : [];
    if (value === undefined || among.length === 0 || among.includes(undefined)) return undefined;
    return (event) => {
      const found = value(event);
      return among.some((each) => each === found);
    };
  }
  return node.op === 'rcall' ? textTest(node.args) : undefined;
}

function textTest([method, receiver, args]: [string, ASTNode, ASTNode[]]): Prefilter | undefined {
  const value = valueAt(receiver);
  const [only] = args;
  const text = only === undefined || args.length !== 1 ? undefined : literal(only);
  if (value === undefined || typeof text !== 'string') return undefined;
  const over = (test: (value: string) => boolean) => (event: NodeEvent) => {
    const found = value(event);
    return typeof found === 'string' && test(found);
  };
  switch (method) {
    case 'contains':
      return over((found) => found.includes(text));
    case 'startsWith':
      return over((found) => found.startsWith(text));
    case 'endsWith':
      return over((found) => found.endsWith(text));
    default:
      return undefined;
  }
}

function equalTo(
  value: ((event: NodeEvent) => unknown) | undefined,
  wanted: string | number | boolean | undefined,
): Prefilter | undefined {
  return value === undefined || wanted === undefined ? undefined : (event) => value(event) === wanted;
}

function literal(node: ASTNode): string | number | boolean | undefined {
  if (node.op !== 'value') return undefined;
  const value = node.args;
  if (typeof value === 'bigint') return Number(value);
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : undefined;
}

const FIELDS = ['log', 'source', 'id', 'level', 'message', 'data'] as const;

/** `event.source`, `event.data.a.b`. */
function valueAt(node: ASTNode): ((event: NodeEvent) => unknown) | undefined {
  if (node.op !== '.') return undefined;
  const [of, name] = node.args;
  if (of.op === 'id' && of.args === 'event') {
    const field = FIELDS.find((known) => known === name);
    return field === undefined ? undefined : (event) => event[field];
  }
  const inner = valueAt(of);
  if (inner === undefined) return undefined;
  return (event) => {
    const value = inner(event);
    return isRecord(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
