/** Kept equal to package.json by a test: reading a file at each start would cost a millisecond, and a bundle has none beside it. */
export const VERSION = '0.1.0';
