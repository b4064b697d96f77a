// For `await import`: esbuild gives a CommonJS package that is imported dynamically its default export alone, so the names are listed here.
export { parse, stringify } from 'yaml';
