import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { pageTokenOf, readPageToken } from './page-token.ts';

const Shape = z.tuple([z.int(), z.string()]);

describe('the token of a page', () => {
  it('is read back as what the last entry was sorted by; without one it is the first page', () => {
    expect(readPageToken(pageTokenOf([3, 'web-1 “ü”']), Shape)).toEqual([3, 'web-1 “ü”']);
    expect(readPageToken('', Shape)).toBeUndefined();
  });

  it.each(['x', '12', pageTokenOf([3]), pageTokenOf(['3', 'web-1']), pageTokenOf([3.5, 'web-1'])])(
    'of another list, or of nobody, is refused: %s',
    (token) => {
      expect(() => readPageToken(token, Shape)).toThrow(/page_token/);
    },
  );
});
