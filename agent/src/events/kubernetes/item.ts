import type { NodeEvent } from '@openline/packs';
import { LEVELS } from '../levels.ts';
import { boundedEvent } from '../read/bounds.ts';
import { isObject } from '../read/position.ts';

/** An Event of the API, `v1`. It is changed where the same happens again: its count rises. */
export interface Item {
  readonly uid: string;
  /** Of this state of it. */
  readonly version: string;
  readonly count: number;
  /** The node whose kubelet said it; undefined: something else did. */
  readonly node: string | undefined;
  readonly event: NodeEvent;
}

/** @returns undefined: it is none */
export function parseItem(value: unknown, nowUnixMs: number): Item | undefined {
  if (!isObject(value)) return undefined;
  const metadata = objectAt(value, 'metadata');
  const involved = objectAt(value, 'involvedObject');
  const series = objectAt(value, 'series');
  const source = objectAt(value, 'source');
  const uid = textAt(metadata, 'uid');
  const version = textAt(metadata, 'resourceVersion');
  if (uid === undefined || version === undefined) return undefined;
  const count = numberAt(series, 'count') ?? numberAt(value, 'count') ?? 1;
  const component = textAt(value, 'reportingComponent') ?? textAt(source, 'component');
  const node = textAt(source, 'host') ?? (component === 'kubelet' ? textAt(value, 'reportingInstance') : undefined);
  const type = textAt(value, 'type') ?? '';
  const data: Record<string, unknown> = { count, type };
  for (const name of ['kind', 'name', 'namespace', 'fieldPath'])
    if (textAt(involved, name) !== undefined) data[name === 'fieldPath' ? 'field_path' : name] = textAt(involved, name);
  if (node !== undefined) data['node'] = node;
  const event = {
    log: 'kubernetes',
    source: component ?? 'kubernetes',
    id: textAt(value, 'reason') ?? '',
    level: type === 'Warning' ? LEVELS.warning : LEVELS.info,
    atUnixMs: lastTime(value, series, metadata) ?? nowUnixMs,
    message: textAt(value, 'message') ?? '',
    data,
  };
  return { uid, version, count, node, event: boundedEvent(event) };
}

type Fields = Readonly<Record<string, unknown>>;

function lastTime(value: Fields, series: Fields, metadata: Fields): number | undefined {
  const times = [
    textAt(series, 'lastObservedTime'),
    textAt(value, 'lastTimestamp'),
    textAt(value, 'eventTime'),
    textAt(metadata, 'creationTimestamp'),
  ];
  return times.map((time) => Date.parse(time ?? '')).find((ms) => !Number.isNaN(ms));
}

export function objectAt(value: Fields, name: string): Fields {
  const found = value[name];
  return isObject(found) ? found : {};
}

/** Empty is absent: the API writes both. */
export function textAt(value: Fields, name: string): string | undefined {
  const found = value[name];
  return typeof found === 'string' && found !== '' ? found : undefined;
}

function numberAt(value: Fields, name: string): number | undefined {
  const found = value[name];
  return typeof found === 'number' && found > 0 ? found : undefined;
}
