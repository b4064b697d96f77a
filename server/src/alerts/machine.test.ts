import { SEVERITIES, type Severity } from '@openline/packs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AlertAction, AlertRaise } from './alerts.ts';
import { type AlertCommand, type AlertLife, act, command, worse } from './machine.ts';

const subject = { kind: 'rule', agentId: 'a', watch: 'p/r', key: '' } as const;
const raise = (severity: Severity = 'warning', over: Partial<AlertRaise> = {}): AlertRaise => ({
  kind: 'raise',
  subject,
  severity,
  title: 't',
  description: 'd',
  by: 'p/r',
  ...over,
});
const close: AlertAction = { kind: 'close', subject, by: 'p/r', comment: 'healthy again' };
const at = (ms: number) => new Date(ms);

/** What is open after these, one second apart. */
function after(...actions: AlertAction[]): AlertLife | undefined {
  return actions.reduce<AlertLife | undefined>((open, action, i) => {
    const life = act(open, action, at(i * 1000))?.life ?? open;
    return life?.state === 'closed' ? undefined : life;
  }, undefined);
}

describe('an alert that is raised', () => {
  it('is new, and has happened once', () => {
    expect(act(undefined, raise(), at(5))).toMatchObject({
      change: 'raised',
      life: { state: 'new', count: 1, firstAt: at(5), lastAt: at(5), closedAt: undefined, owner: '' },
    });
  });
  it('again while it is open is a repeat, counted, with the newest wording', () => {
    const step = act(after(raise()), raise('warning', { times: 7, title: 'newer' }), at(9000));
    expect(step).toMatchObject({
      change: 'repeated',
      life: { count: 8, title: 'newer', firstAt: at(0), lastAt: at(9000) },
    });
  });
  it('again and worse gets worse, and counts', () => {
    expect(act(after(raise('warning')), raise('critical'), at(1))).toMatchObject({
      change: 'severity',
      comment: 'warning → critical',
      life: { severity: 'critical', count: 2 },
    });
  });
  it('again and less bad by a rule stays as bad as it was', () => {
    expect(after(raise('critical'), raise('information'))?.severity).toBe('critical');
  });
  it('by a monitor has the severity of its state, which is no repeat', () => {
    expect(after(raise('critical'), raise('warning', { severityMay: 'follow' }))).toMatchObject({
      severity: 'warning',
      count: 1,
    });
  });
  it('stays acknowledged when it happens again', () => {
    const step = command(after(raise()) ?? expect.fail(), 'ada', { kind: 'acknowledge', comment: '' }, at(1));
    if (typeof step === 'string') expect.fail(step);
    expect(act(step.life, raise('critical'), at(2))?.life).toMatchObject({ state: 'acknowledged', owner: 'ada' });
  });
  it('anew once it was closed is another alert', () => {
    expect(after(raise(), close)).toBeUndefined();
    expect(after(raise(), raise(), close, raise())).toMatchObject({ count: 1, firstAt: at(3000) });
  });
});

describe('an alert that was raised in maintenance', () => {
  const surface: AlertAction = { kind: 'surface', subject, by: 'maintenance', comment: 'it is over' };
  it('counts as any other once that is over, and is otherwise as it was', () => {
    const open: AlertLife = { ...(after(raise(), raise()) ?? expect.fail()), maintenanceId: 'm' };
    expect(act(open, surface, at(9))).toEqual({
      life: { ...open, maintenanceId: '' },
      change: 'surfaced',
      comment: 'it is over',
    });
  });
  it('is not told of a second time', () => {
    expect(act(after(raise()), surface, at(9))).toBeUndefined();
    expect(act(undefined, surface, at(9))).toBeUndefined();
  });
});

describe('what is done to no alert', () => {
  it('changes nothing', () => {
    expect(act(undefined, close, at(0))).toBeUndefined();
    expect(act(undefined, { kind: 'severity', subject, severity: 'critical', by: 'x' }, at(0))).toBeUndefined();
  });
});

describe('a person', () => {
  const open = () => after(raise()) ?? expect.fail();
  const acknowledge: AlertCommand = { kind: 'acknowledge', comment: '' };
  it('who acknowledges it has it; whoever had it before keeps it', () => {
    expect(command(open(), 'ada', acknowledge, at(1))).toMatchObject({
      change: 'acknowledged',
      life: { owner: 'ada' },
    });
    expect(command({ ...open(), owner: 'bob' }, 'ada', acknowledge, at(1))).toMatchObject({ life: { owner: 'bob' } });
  });
  it('may give it to somebody, or to nobody', () => {
    const given = command(open(), 'ada', { kind: 'assign', owner: 'bob', comment: '' }, at(1));
    expect(given).toMatchObject({ change: 'assigned', life: { owner: 'bob', state: 'new' } });
    const back = command({ ...open(), owner: 'bob' }, 'ada', { kind: 'assign', owner: '', comment: '' }, at(1));
    expect(back).toMatchObject({ life: { owner: '' } });
  });
  it('may say something of it, also when it is closed', () => {
    const life: AlertLife = { ...open(), state: 'closed', closedAt: at(1) };
    expect(command(life, 'ada', { kind: 'comment', comment: 'a note' }, at(2))).toEqual({
      life,
      change: 'commented',
      comment: 'a note',
    });
  });
  it('is told in words when there is nothing to do, and a comment is not lost then', () => {
    const acknowledged: AlertLife = { ...open(), state: 'acknowledged', owner: 'ada' };
    const gone: AlertLife = { ...open(), state: 'closed', closedAt: at(1) };
    expect(command(gone, 'ada', acknowledge, at(2))).toBe('it is closed');
    expect(command(gone, 'ada', { kind: 'close', comment: '' }, at(2))).toBe('it was closed before');
    expect(command(acknowledged, 'ada', acknowledge, at(2))).toBe('it was acknowledged before');
    expect(command(acknowledged, 'ada', { ...acknowledge, comment: 'x' }, at(2))).toMatchObject({
      change: 'commented',
    });
    expect(command(acknowledged, 'ada', { kind: 'assign', owner: 'ada', comment: '' }, at(2))).toBe(
      'ada has it already',
    );
  });
});

describe('whatever happens to an alert, in whatever order', () => {
  const severity = fc.constantFrom(...SEVERITIES);
  const action: fc.Arbitrary<AlertAction> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(severity, fc.integer({ min: 1, max: 9 })).map(([s, times]) => raise(s, { times })),
    },
    { weight: 1, arbitrary: fc.constant(close) },
    { weight: 1, arbitrary: severity.map((s): AlertAction => ({ kind: 'severity', subject, severity: s, by: 'x' })) },
  );
  const person: fc.Arbitrary<AlertCommand> = fc.oneof(
    fc.constantFrom<AlertCommand>(
      { kind: 'acknowledge', comment: '' },
      { kind: 'close', comment: '' },
      { kind: 'comment', comment: 'c' },
    ),
    fc.constantFrom('', 'ada', 'bob').map((owner): AlertCommand => ({ kind: 'assign', owner, comment: '' })),
  );
  const deed = fc.oneof(
    action.map((value) => ({ who: 'watch' as const, value })),
    person.map((value) => ({ who: 'person' as const, value })),
  );

  it('its count is what was raised, it is never less bad than a rule said, and closed it does not change', () => {
    fc.assert(
      fc.property(fc.array(deed, { maxLength: 40 }), (deeds) => {
        let life: AlertLife | undefined;
        let count = 0;
        let least: Severity = 'information';
        for (const [i, { who, value }] of deeds.entries()) {
          const before = life;
          const open = life?.state === 'closed' ? undefined : life;
          const step =
            who === 'watch'
              ? act(open, value, at(i))
              : life === undefined
                ? undefined
                : command(life, 'ada', value, at(i));
          if (step === undefined || typeof step === 'string') continue;
          life = step.life;
          if (who === 'watch' && value.kind === 'raise') {
            count = open === undefined ? (value.times ?? 1) : count + (value.times ?? 1);
            least = open === undefined ? value.severity : worse(least, value.severity);
          }
          if (who === 'watch' && value.kind === 'severity') least = value.severity;
          expect(life.count).toBe(count);
          expect(life.severity).toBe(least);
          expect(life.closedAt === undefined).toBe(life.state !== 'closed');
          expect(life.firstAt <= life.lastAt).toBe(true);
          if (who === 'person' && before?.state === 'closed') expect(life).toEqual(before);
          if (step.change === 'raised') expect(open).toBeUndefined();
        }
      }),
    );
  });
});
