export type Word = string | number | readonly string[];

/** A command as it is typed: kubectl`get pods -n ${namespace}`. What is put in is never split; a list is several words. */
export function words(text: TemplateStringsArray, ...values: readonly Word[]): string[] {
  const found: string[] = [];
  let open: string | undefined;
  const close = (): void => {
    if (open !== undefined) found.push(open);
    open = undefined;
  };
  for (const [index, part] of text.entries()) {
    const [first = '', ...others] = part.split(/\s+/);
    if (first !== '') open = `${open ?? ''}${first}`;
    for (const word of others) {
      close();
      if (word !== '') open = word;
    }
    const value = values[index];
    if (typeof value === 'object') found.push(...value);
    else if (value !== undefined) open = `${open ?? ''}${value}`;
  }
  close();
  return found;
}

/** Gives what is typed as words to a program. */
export function typed<T>(run: (args: string[]) => T): (text: TemplateStringsArray, ...values: readonly Word[]) => T {
  return (text, ...values) => run(words(text, ...values));
}
