import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MonitorRecord, MonitorState, StateChange } from './event.ts';
import { observe } from './monitor.ts';

const AT = new Date(1_000);
let spells = 0;
const context = { agentId: 'a', at: AT, newSpell: () => `spell-${++spells}` };
const content = (severity: 'warning' | 'critical') => ({ severity, title: 't', description: 'd', key: '/' });
const change = (to: MonitorState | undefined, over: Partial<StateChange> = {}): StateChange => ({
  kind: 'state_change',
  pack: 'linux',
  monitor: 'disk',
  instance: '/',
  to,
  reason: '',
  sampleJson: '',
  events: [],
  alert: to === 'warning' || to === 'critical' ? content(to) : undefined,
  diagnostic: undefined,
  recoveries: [],
  ...over,
});
/** The record after these changes. */
const after = (...changes: StateChange[]) =>
  changes.reduce<MonitorRecord | undefined>((known, one) => observe(known, one, context).record, undefined);
const hush = (record: MonitorRecord | undefined): MonitorRecord => {
  if (record?.state !== 'warning' && record?.state !== 'critical') throw new Error('it is not ill');
  return { ...record, hushed: record.state };
};

describe('a monitor that gets worse', () => {
  it('raises its alert, with the severity of its state', () => {
    expect(observe(undefined, change('warning'), context)).toMatchObject({
      action: { kind: 'raise', severity: 'warning', severityMay: 'follow', subject: { watch: 'linux/disk', key: '/' } },
      worse: true,
    });
  });
  it('is one spell of ill health from its beginning to its end', () => {
    const first = after(change('warning'));
    const next = observe(first, change('critical'), context);
    expect(next).toMatchObject({ worse: true, record: { spell: first?.spell, state: 'critical' } });
    const unknown = observe(next.record, change('unknown'), context).record;
    const better = observe(unknown, change('warning'), context).record;
    expect([unknown?.spell, better?.spell]).toEqual([first?.spell, first?.spell]);
    const healthy = observe(better, change('healthy'), context).record;
    expect(healthy?.spell).toBe('');
    expect(observe(healthy, change('warning'), context).record?.spell).not.toBe(first?.spell);
  });
});

describe('a monitor that gets better', () => {
  it('closes its alert, and says why', () => {
    expect(observe(after(change('critical')), change('healthy', { reason: 'used 40 %' }), context)).toMatchObject({
      action: { kind: 'close', comment: 'it is healthy: used 40 %' },
      worse: false,
    });
  });
  it('but not well follows with the severity, while an alert is due', () => {
    expect(observe(after(change('critical')), change('warning'), context)).toMatchObject({
      action: { kind: 'raise', severity: 'warning' },
      worse: false,
    });
  });
  it('closes it also in a state in which none is due', () => {
    const better = observe(after(change('critical')), change('warning', { alert: undefined }), context);
    expect(better.action).toMatchObject({ kind: 'close', comment: 'it is warning' });
  });
});

describe('a monitor whose probe does not work', () => {
  it('leaves its alert as it is', () => {
    expect(observe(after(change('critical')), change('unknown'), context).action).toBeUndefined();
  });
});

describe('a monitor that is gone', () => {
  it('is forgotten, and its alert closed', () => {
    expect(observe(after(change('critical')), change(undefined), context)).toMatchObject({
      record: undefined,
      action: { kind: 'close', comment: 'it is not monitored any more' },
    });
  });
});

describe('a monitor whose alert a person closed while it was ill', () => {
  it('raises none for the same state again, or a better one', () => {
    const hushed = hush(after(change('critical')));
    expect(observe(hushed, change('critical'), context).action).toBeUndefined();
    expect(observe(hushed, change('warning'), context).action).toBeUndefined();
    const through = observe(hushed, change('unknown'), context).record;
    expect(observe(through, change('critical'), context).action).toBeUndefined();
  });
  it('raises one when it got worse', () => {
    const worse = observe(hush(after(change('warning'))), change('critical'), context);
    expect(worse).toMatchObject({ action: { kind: 'raise' }, record: { hushed: undefined } });
  });
  it('raises one when it was healthy in between', () => {
    const healthy = observe(hush(after(change('warning'))), change('healthy'), context).record;
    expect(observe(healthy, change('warning'), context).action).toMatchObject({ kind: 'raise' });
  });
});

it('whatever comes in whatever order: a spell lasts exactly while it is ill, and ill with an alert due raises unless hushed', () => {
  const states = fc.constantFrom<MonitorState | undefined>('healthy', 'warning', 'critical', 'unknown', undefined);
  fc.assert(
    fc.property(fc.array(fc.tuple(states, fc.boolean()), { maxLength: 30 }), (steps) => {
      let known: MonitorRecord | undefined;
      for (const [to, personCloses] of steps) {
        const before = known;
        const { record, action, worse } = observe(known, change(to), context);
        known = record;
        const ill = to === 'warning' || to === 'critical';
        if (to === 'healthy' || to === undefined) expect(record?.spell ?? '').toBe('');
        if (ill) expect(record?.spell).not.toBe('');
        if (before?.spell && record?.spell) expect(record.spell).toBe(before.spell);
        if (ill) expect(action === undefined).toBe(record?.hushed !== undefined);
        if (worse) expect(ill).toBe(true);
        if (personCloses && record !== undefined && (record.state === 'warning' || record.state === 'critical')) {
          known = hush(record);
        }
      }
    }),
  );
});
