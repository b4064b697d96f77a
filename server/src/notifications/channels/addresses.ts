/**
 * Mail addresses as they may be declared: one of the usual form. No comments, quotes, groups, routes or control characters, so that nothing
 * in one can become another header, recipient or command.
 */
const ADDRESS =
  /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

export function isAddress(text: string): boolean {
  return text.length <= 254 && ADDRESS.test(text);
}

/** `name@example.com` or `Name <name@example.com>`. */
export function parseMailbox(text: string): { name: string; address: string } | undefined {
  const match = /^\s*"?([^"<>\p{Cc}]*?)"?\s*<([^<>]+)>\s*$/u.exec(text);
  const [name, address] = match === null ? ['', text.trim()] : [match[1] ?? '', match[2] ?? ''];
  return isAddress(address) && name.length <= 200 ? { name, address } : undefined;
}
