import { describe, expect, it } from 'vitest';
import { bounded, findInterpreters, gatherFacts, machineId } from './facts.ts';
import { viewOf } from './host/view.ts';

describe('the facts of a machine', () => {
  it('say what it is and which interpreters it has', () => {
    const facts = gatherFacts({ sh: '/bin/sh' }, viewOf('none', '', false));
    expect(facts).toMatchObject({ 'interpreter.sh': '/bin/sh', os: expect.any(String), hostname: expect.any(String) });
    expect(Number(facts['memory.bytes'])).toBeGreaterThan(0);
  });

  it('name an interpreter only where it is, by its absolute path', () => {
    expect(findInterpreters('/usr/bin:/bin').sh).toMatch(/^\/.*\/sh$/);
    expect(findInterpreters('/nonexistent')).toEqual({});
    expect(findInterpreters('relative:.')).toEqual({});
  });

  it('never grow beyond what the protocol takes', () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`k${i}`, 'x'.repeat(10_000)]));
    const facts = bounded(many);
    expect(Object.keys(facts)).toHaveLength(256);
    expect(facts['k0']).toHaveLength(253);
  });

  it('identify the machine by a hash that differs for each data directory', () => {
    expect(machineId('/a')).toBe(machineId('/a'));
    expect(machineId('/a')).not.toBe(machineId('/b'));
    expect(machineId('/a')).toMatch(/^[0-9a-f]{32}$/);
  });
});
