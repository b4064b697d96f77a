/** Fields of the API whose flags are called otherwise. */
const OTHERWISE: Readonly<Record<string, string>> = { targets: 'on', labels: 'label', watch: 'by', owner: 'to' };

/**
 * A refusal of the server names fields of its API, and who typed the command knows flags: `spec.ttlMs: longer than …` is `--ttl: longer than …`.
 * @param flags of the command, with their dashes; fields that are none of them stay as they are
 */
export function inFlags(message: string, flags: readonly string[]): string {
  return message.replace(
    /(?<=^|; )(?:spec\.|filter\.)?([A-Za-z]+)(?:\.([\w./-]+))?(?=:)/g,
    (path: string, field: string, entry?: string) => {
      const words = field.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      const flag = [OTHERWISE[field], words].map((name) => `--${name}`).find((each) => flags.includes(each));
      return flag === undefined ? path : [flag, ...(entry === undefined ? [] : [entry])].join(' ');
    },
  );
}
