import { formatDuration, parseDuration } from '@openline/packs/duration';
import { formatHostPort, parseHostPort } from '@openline/proto/host-port';
import * as z from 'zod';
import { isRole } from '../access/access.ts';
import type { WorkloadOperator } from '../access/workloads.ts';
import { parseSubnet } from './values.ts';

/** How values of the configuration are written, and read. */

/** One key of the configuration. The docs, the flags, the environment variables and the check are made of it. */
export interface Key<S extends z.ZodType> {
  readonly type: string;
  readonly schema: S;
  /** As a person would write it; "" when there is none. */
  readonly default: string;
  /** Completes "expected …" in an error. Never shows what was given. */
  readonly expects: string;
  readonly description: string;
  readonly secret?: true;
}

/** Reads text by `parse`; what is already a value of the right kind (a default) passes. */
export function text<T>(parse: (text: string) => T | undefined) {
  return z.string().transform((value, context) => {
    const parsed = parse(value);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom' });
    return z.NEVER;
  });
}

const within = (value: number | undefined, min: number, max: number) =>
  value !== undefined && value >= min && value <= max ? value : undefined;

export function duration(defaultMs: number, minMs: number, maxMs: number, description: string) {
  return {
    type: 'duration',
    schema: text((value) => within(parseDuration(value), minMs, maxMs)).default(defaultMs),
    default: formatDuration(defaultMs),
    expects: `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as ${formatDuration(defaultMs)}`,
    description,
  };
}

export function integer(defaultValue: number, min: number, max: number, description: string) {
  const parse = (value: string) => (/^\d{1,15}$/.test(value) ? within(Number(value), min, max) : undefined);
  return {
    type: 'integer',
    schema: z.union([z.int().min(min).max(max), text(parse)]).default(defaultValue),
    default: String(defaultValue),
    expects: `a whole number from ${min} to ${max}`,
    description,
  };
}

export function hostPort(host: string, port: number, description: string) {
  return {
    type: 'host:port',
    schema: text(parseHostPort).default({ host, port }),
    default: formatHostPort({ host, port }),
    expects: `host:port, such as ${formatHostPort({ host, port })} (port 0 picks a free one)`,
    description,
  };
}

export const path = (defaultText: string, description: string) => ({
  type: 'path',
  schema: z.string().min(1).optional(),
  default: defaultText,
  expects: 'a path',
  description,
});

/** What the driver would choke on later, with the URL in its message. */
export function isPostgresUrl(text: string): boolean {
  if (!/^postgres(ql)?:\/\/./.test(text) || !URL.canParse(text)) return false;
  const { username, password, pathname } = new URL(text);
  try {
    return [username, password, pathname].every((part) => decodeURIComponent(part) !== undefined);
  } catch {
    return false;
  }
}

export const NAME = /^[A-Za-z0-9.:_*-]{1,253}$/;
export const listOfNames = text((value) => {
  const names = value.split(',').map((name) => name.trim());
  return names.every((name) => NAME.test(name)) ? names : undefined;
});

export const subnets = (description: string) => ({
  type: 'list',
  schema: z
    .union([z.array(z.string()), text((value) => (value.trim() === '' ? [] : value.split(',')))])
    .default([])
    .transform((items, context) => {
      const parsed = items.map((item) => parseSubnet(item));
      if (parsed.every((each) => each !== undefined)) return parsed;
      context.addIssue({ code: 'custom' });
      return z.NEVER;
    }),
  default: '',
  expects: 'addresses and networks separated by commas, such as 10.0.0.0/8,fd00::/8',
  description,
});

export const LABEL = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,252}$/;
export const listOfLabels = text((value) => {
  const labels = value === '' ? [] : value.split(',').map((label) => label.trim());
  return labels.every((label) => LABEL.test(label)) ? labels : undefined;
});

export const ACCOUNT = /^[a-z0-9.-]{1,253}:[a-z0-9.-]{1,253}$/;
export const AUDIENCE = /^\S{1,253}$/;
export const CLUSTER = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/;
export const listOfAccounts = text((value) => {
  const accounts = value === '' ? [] : value.split(',').map((account) => account.trim());
  return accounts.every((account) => ACCOUNT.test(account)) ? accounts : undefined;
});
const OPERATOR = /^([a-z0-9.-]{1,253}:[a-z0-9.-]{1,253})=(viewer|operator|admin)$/;
/** @returns undefined: not readable, or an account with two roles */
export function parseOperators(items: readonly string[]): WorkloadOperator[] | undefined {
  const operators = items.map((item) => {
    const [, account, role] = OPERATOR.exec(item.trim()) ?? [];
    return account !== undefined && isRole(role) ? { account, role } : undefined;
  });
  const accounts = new Set(operators.map((operator) => operator?.account));
  return operators.every((operator) => operator !== undefined) && accounts.size === items.length
    ? operators
    : undefined;
}
export const remoteCluster = z.strictObject({
  name: z.string().regex(CLUSTER),
  issuer: z.url({ protocol: /^https$/ }),
  serviceAccounts: z.array(z.string().regex(ACCOUNT)).min(1),
  audience: z.string().regex(AUDIENCE).optional(),
  jwksFile: z.string().min(1).optional(),
});
