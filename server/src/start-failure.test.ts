import { OpenlineError } from '@openline/proto/errors';
import { describe, expect, it } from 'vitest';
import { storeErrors } from './db/store-errors.ts';
import { startFailure } from './start-failure.ts';

describe('a server that cannot start', () => {
  it('says what is wrong and what to do, and ends with 2 when it is its configuration', () => {
    expect(startFailure(new OpenlineError('CONFIG_INVALID', 'agentListen: not a port'))).toEqual({
      text: expect.stringMatching(/^error \[CONFIG_INVALID\] agentListen: not a port\n→ .+\n$/),
      exitCode: 2,
    });
    expect(startFailure(new OpenlineError('DATA_DIR_IN_USE', 'taken'))?.exitCode).toBe(1);
  });

  it('because its database went away meanwhile says that, and nothing of requests', async () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:40000'), { code: 'ECONNREFUSED' });
    const wrapped = await storeErrors(Promise.reject(refused)).catch((error: unknown) => error);
    for (const error of [refused, wrapped]) {
      const told = startFailure(error);
      expect(told).toMatchObject({ exitCode: 1 });
      expect(told?.text).toMatch(
        /^error \[DATABASE_FAILED\] the database went away while the server started: connect ECONNREFUSED/,
      );
      expect(told?.text).toMatch(/start the server again/);
      expect(told?.text).not.toMatch(/idempotency/);
    }
  });

  it('in a way that nobody foresaw leaves it to the log', () => {
    expect(startFailure(new TypeError('x is not a function'))).toBeUndefined();
  });
});
