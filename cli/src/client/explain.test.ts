import { status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import type { Connection } from '../config/locate.ts';
import { explain } from './explain.ts';

const connection: Connection = {
  address: { host: 'db', port: 5724, text: 'db:5724' },
  addressFrom: '--server',
  token: undefined,
  tokenFrom: undefined,
  ca: 'PEM',
  caFrom: '--ca',
  localServer: undefined,
};

it.each([
  [
    "Host: db. is not in the cert's altnames: DNS:localhost, IP Address:127.0.0.1",
    'DNS:localhost, IP Address:127.0.0.1',
  ],
  ["IP: 10.0.0.1 is not in the cert's list: 127.0.0.1", '127.0.0.1'],
  ["Host: db. is not cert's CN: openline-server", "Host: db. is not cert's CN: openline-server"],
])('a certificate for other names is not taken for one of another CA: %s', (altnames, names) => {
  const details = `No connection established. Last error: Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: ${altnames}. Resolution note: `;
  expect(explain({ code: status.UNAVAILABLE, details }, connection, 0)).toMatchObject({
    code: 'SERVER_UNTRUSTED',
    message: expect.stringContaining(`the certificate of db:5724 is made for other names: ${names} (`),
    doNext: expect.stringContaining('--advertise'),
  });
});
