/** Standard output is for the result alone. */
export function say(text: string): void {
  console.error(`[${(performance.now() / 1000).toFixed(1).padStart(6)} s] ${text}`);
}
