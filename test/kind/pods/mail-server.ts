// Runs in a pod: takes mail, and writes each as a line of JSON to its log.
import { startMailServer } from '../../../server/src/notifications/testing/mail-server.ts';

// Without await, which a CommonJS bundle does not have; when it rejects, the process ends.
startMailServer({
  host: '0.0.0.0',
  port: 2525,
  beforeAccept: ({ from, to, subject, text }) => console.log(JSON.stringify({ from, to, subject, text })),
});
