import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Alert, AlertChange, AlertChangeKind } from '../alerts/alert.ts';
import { nextReminder, type Planned, plan, type Thread } from './planner.ts';
import { isOpen, type Schedule } from './subscriptions/schedule.ts';
import type { Criteria, Step, Subscription, SubscriptionSpec } from './subscriptions/subscription.ts';
import { sampleItem } from './templates/sample.ts';

const MIN = 60_000;
const H = 60 * MIN;
const NOW = Date.parse('2026-11-23T12:00:00Z'); // a Monday
const ANY: Criteria = { severity: 'information', watches: [], kinds: new Set(), agents: undefined, where: undefined };
const FIRST: Step = { afterMs: 0, unless: 'closed', send: [{ channel: 'mail', to: ['a@x', 'b@x'] }] };
const OFFICE: Schedule = {
  timeZone: 'UTC',
  days: new Set([0, 1, 2, 3, 4]),
  hours: [{ fromMs: 8 * H, toMs: 18 * H }],
  holidays: new Set(),
  outside: 'hold',
};
const NIGHT = Date.parse('2026-11-23T22:00:00Z');
const MORNING = Date.parse('2026-11-24T08:00:00Z');

function subscription(over: Partial<SubscriptionSpec> = {}, name = 'web'): Subscription {
  return {
    name,
    spec: {
      enabled: true,
      criteria: ANY,
      steps: [FIRST],
      followUps: new Set(['severity', 'closed']),
      schedule: undefined,
      digest: undefined,
      reminder: undefined,
      templates: {},
      timeZone: 'UTC',
      ...over,
    },
  };
}

function change(kind: AlertChangeKind, over: Partial<Alert> = {}): AlertChange {
  const { alert } = sampleItem('opened', new Date(NOW));
  const state = kind === 'closed' ? 'closed' : kind === 'acknowledged' ? 'acknowledged' : 'new';
  return { id: 7, kind, at: new Date(NOW), by: 'x', comment: '', alert: { ...alert, state, ...over } };
}

const thread = (over: Partial<Thread> = {}): Thread => ({
  subscription: 'web',
  step: 0,
  channel: 'mail',
  recipients: ['a@x', 'b@x'],
  rootId: 'root-1',
  told: true,
  ...over,
});

const planned = (c: AlertChange, s: Subscription, threads: Thread[] = [], nowMs = NOW) =>
  plan(c, [s], threads, nowMs).planned;
const brief = (all: readonly Planned[]) =>
  all.map(({ kind, step, channel, dueAtMs, condition }) => [kind, step, channel, (dueAtMs - NOW) / MIN, condition]);

describe('an alert that is raised', () => {
  it('is told at once to those who subscribe to it', () => {
    expect(planned(change('raised'), subscription())).toEqual([
      {
        subscription: 'web',
        step: 0,
        kind: 'opened',
        channel: 'mail',
        recipients: ['a@x', 'b@x'],
        dueAtMs: NOW,
        byWallClock: false,
        condition: '',
        rootId: undefined,
        inDigest: false,
        reminder: undefined,
      },
    ]);
    expect(planned(change('raised'), subscription({ criteria: { ...ANY, severity: 'critical' } }))).toEqual([]);
    expect(planned(change('raised'), subscription({ enabled: false }))).toEqual([]);
  });

  it('in maintenance is told to nobody, whatever becomes of it', () => {
    for (const kind of ['raised', 'severity', 'acknowledged', 'closed'] as const) {
      expect(planned(change(kind, { maintenanceId: 'm1' }), subscription(), [thread()])).toEqual([]);
    }
  });

  it('is told after a while to those who want to hear only of what lasts, and to others when nobody takes it on', () => {
    const steps: Step[] = [
      { ...FIRST, afterMs: 10 * MIN },
      { afterMs: 30 * MIN, unless: 'acknowledged', send: [{ channel: 'boss', to: [] }] },
      { afterMs: 60 * MIN, unless: 'closed', send: [{ channel: 'pager', to: [] }] },
    ];
    expect(brief(planned(change('raised'), subscription({ steps })))).toEqual([
      ['opened', 0, 'mail', 10, 'open'],
      ['opened', 1, 'boss', 30, 'unacknowledged'],
      ['opened', 2, 'pager', 60, 'open'],
    ]);
  });

  it('is told again while it is open, when that is asked for', () => {
    const [first] = planned(
      change('raised'),
      subscription({ reminder: { everyMs: 30 * MIN, unless: 'acknowledged' } }),
    );
    expect(first?.reminder).toEqual({ dueAtMs: NOW + 30 * MIN, condition: 'unacknowledged' });
  });

  it('outside of the schedule waits until it opens, and is then told only if it is still open', () => {
    const held = planned(change('raised'), subscription({ schedule: OFFICE }), [], NIGHT);
    expect(held.map(({ dueAtMs, condition }) => [dueAtMs, condition])).toEqual([[MORNING, 'open']]);
    const skips = subscription({ schedule: { ...OFFICE, outside: 'skip' } });
    expect(plan(change('raised'), [skips], [], NIGHT)).toEqual({ planned: [], skipped: 1 });
    expect(brief(planned(change('raised'), subscription({ schedule: OFFICE })))).toEqual([
      ['opened', 0, 'mail', 0, ''],
    ]);
  });

  it('goes into the digest that is sent next', () => {
    const quarter = planned(
      change('raised'),
      subscription({ digest: { kind: 'every', everyMs: 15 * MIN } }),
      [],
      NOW + MIN,
    );
    expect(quarter.map(({ dueAtMs, inDigest, condition }) => [(dueAtMs - NOW) / MIN, inDigest, condition])).toEqual([
      [15, true, ''],
    ]);
    const daily = subscription({ digest: { kind: 'at', timesMs: [8 * H], timeZone: 'UTC' } });
    expect(planned(change('raised'), daily)[0]?.dueAtMs).toBe(MORNING);
  });
});

describe('what becomes of an alert', () => {
  it('is told to those who were told that it is open, in the same thread, and to nobody else', () => {
    const threads = [thread(), thread({ step: 1, channel: 'boss', rootId: 'root-2', told: false })];
    const closed = planned(change('closed'), subscription(), threads);
    expect(closed).toMatchObject([{ kind: 'closed', channel: 'mail', rootId: 'root-1', condition: '' }]);
    expect(planned(change('closed'), subscription(), [])).toEqual([]);
  });

  it('is told only as far as they want to hear of it', () => {
    for (const kind of ['acknowledged', 'assigned', 'commented'] as const) {
      expect(planned(change(kind), subscription(), [thread()])).toEqual([]);
      expect(brief(planned(change(kind), subscription({ followUps: new Set([kind]) }), [thread()]))).toEqual([
        [kind, 0, 'mail', 0, ''],
      ]);
    }
    expect(planned(change('closed'), subscription({ followUps: new Set() }), [thread()])).toEqual([]);
  });

  it('is nothing to tell when it only repeats, or was answered by a task', () => {
    for (const kind of ['repeated', 'answered'] as const)
      expect(planned(change(kind), subscription(), [thread()])).toEqual([]);
  });

  it('concerns those whose severity it reaches only now', () => {
    const wantsCritical = subscription({ criteria: { ...ANY, severity: 'critical' } });
    const worse = change('severity', { severity: 'critical' });
    expect(brief(planned(worse, wantsCritical))).toEqual([['opened', 0, 'mail', 0, '']]);
    expect(brief(planned(worse, wantsCritical, [thread()]))).toEqual([['severity', 0, 'mail', 0, '']]);
    // It waits still, and will be told as it is by then.
    expect(planned(worse, wantsCritical, [thread({ told: false })])).toEqual([]);
    expect(planned(change('severity', { severity: 'warning' }), wantsCritical)).toEqual([]);
  });

  it('in the night is told in the morning: that it is over in any case, that it got worse only if it is not', () => {
    const office = subscription({ schedule: OFFICE });
    expect(planned(change('closed'), office, [thread()], NIGHT)).toMatchObject([{ dueAtMs: MORNING, condition: '' }]);
    expect(planned(change('severity'), office, [thread()], NIGHT)).toMatchObject([
      { dueAtMs: MORNING, condition: 'open' },
    ]);
  });
});

describe('the next reminder', () => {
  it('is due one interval after the last, and when some were missed, at the next that is to come', () => {
    const { spec } = subscription({ reminder: { everyMs: 30 * MIN, unless: 'closed' } });
    expect(nextReminder(spec, NOW, NOW)).toBe(NOW + 30 * MIN);
    expect(nextReminder(spec, NOW, NOW + 100 * MIN)).toBe(NOW + 120 * MIN);
    expect(nextReminder({ ...spec, schedule: OFFICE }, NIGHT, NIGHT)).toBe(MORNING);
    expect(nextReminder(subscription().spec, NOW, NOW)).toBeUndefined();
  });
});

const sends = fc.uniqueArray(fc.constantFrom('mail', 'boss', 'pager', 'chat'), { minLength: 1, maxLength: 3 });
const steps = fc.array(
  fc.record({
    afterMs: fc.constantFrom(0, MIN, 30 * MIN, 12 * H),
    unless: fc.constantFrom('closed' as const, 'acknowledged' as const),
    send: sends.map((names) => names.map((channel) => ({ channel, to: [] }))),
  }),
  { minLength: 1, maxLength: 3 },
);
const specs = fc.record({
  enabled: fc.boolean(),
  criteria: fc.constantFrom(ANY, { ...ANY, severity: 'critical' as const }),
  steps,
  followUps: fc
    .uniqueArray(fc.constantFrom('severity' as const, 'acknowledged' as const, 'closed' as const))
    .map((all) => new Set(all)),
  schedule: fc.constantFrom(undefined, OFFICE, { ...OFFICE, outside: 'skip' as const }),
  digest: fc.constantFrom(undefined, { kind: 'every' as const, everyMs: 15 * MIN }),
  reminder: fc.constantFrom(undefined, { everyMs: 30 * MIN, unless: 'closed' as const }),
});
const changes = fc
  .tuple(
    fc.constantFrom<AlertChangeKind>('raised', 'repeated', 'severity', 'acknowledged', 'commented', 'closed'),
    fc.constantFrom<Partial<Alert>>({}, { severity: 'critical' }, { maintenanceId: 'm' }, { state: 'acknowledged' }),
  )
  .map(([kind, over]) => change(kind, kind === 'closed' ? { ...over, state: 'closed' } : over));
const threads = fc.array(
  fc
    .record({ step: fc.nat(2), channel: fc.constantFrom('mail', 'boss'), told: fc.boolean() })
    .map((over) => thread({ ...over, recipients: [] })),
  { maxLength: 3 },
);

describe('any change and any subscription', () => {
  it('plan each message once, in its time, and tell what follows only to those who know what it is about', () => {
    fc.assert(
      fc.property(specs, changes, threads, fc.integer({ min: 0, max: 14 * 24 * 60 }), (over, what, known, minutes) => {
        const nowMs = NOW + minutes * MIN;
        const unique = [...new Map(known.map((t) => [`${t.step} ${t.channel}`, t])).values()];
        const all = planned(what, subscription(over), unique, nowMs);
        const keys = all.map(({ step, kind, channel }) => `${step} ${kind} ${channel}`);
        expect(new Set(keys).size).toBe(keys.length);
        for (const each of all) {
          expect(each.dueAtMs).toBeGreaterThanOrEqual(nowMs);
          if (over.schedule !== undefined) expect(isOpen(over.schedule, each.dueAtMs)).toBe(true);
          if (each.kind === 'opened') expect(each.rootId).toBeUndefined();
          else {
            expect(
              unique.some(({ step, channel, told }) => told && step === each.step && channel === each.channel),
            ).toBe(true);
            expect(over.followUps.has(each.kind as 'closed')).toBe(true);
          }
          if (what.kind === 'closed') expect(each.condition).toBe('');
          if (each.dueAtMs > nowMs && each.kind === 'opened' && !each.inDigest) expect(each.condition).not.toBe('');
        }
        if (!over.enabled || what.alert.maintenanceId !== '') expect(all).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
  });
});
