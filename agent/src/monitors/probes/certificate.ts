import { X509Certificate } from 'node:crypto';
import { glob, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import { rfc3339 } from '../../telemetry/rfc3339.ts';
import { reasonOf } from './network.ts';

export interface CertificateFinding {
  /** Whether there is one that can be read. */
  readonly ok: boolean;
  /** The file, or host:port. */
  readonly of: string;
  readonly subject: string;
  readonly issuer: string;
  /** Negative: it has expired. */
  readonly days_left: number;
  /** RFC 3339; empty when there is none. */
  readonly not_after: string;
  readonly error: string;
}

/** Files that are looked at, of all patterns together. */
const MAX_FILES = 200;
const DAY_MS = 86_400_000;

/**
 * The first certificate of each file. A file that is named and not there is a finding, a pattern that matches none is not.
 * @param root before every path, and not in what is found
 */
export async function probeCertificateFiles(
  patterns: readonly string[],
  nowUnixMs: number,
  root = '',
): Promise<CertificateFinding | CertificateFinding[]> {
  const files = new Set<string>();
  for (const pattern of patterns) {
    for await (const file of filesOf(`${root}${pattern}`)) if (files.size < MAX_FILES) files.add(file);
  }
  const found: CertificateFinding[] = [];
  for (const file of files) found.push({ ...(await ofFile(file, nowUnixMs)), of: file.slice(root.length) });
  const [only, ...others] = found;
  return only !== undefined && others.length === 0 ? only : found;
}

/** What a server shows, whoever signed it. */
export function probeCertificateHost(
  host: string,
  port: number,
  nowUnixMs: number,
  signal: AbortSignal,
): Promise<CertificateFinding> {
  const of = `${host}:${port}`;
  return new Promise((resolve) => {
    const name = isIP(host) === 0 ? { servername: host } : {};
    const socket = connect({ host, port, rejectUnauthorized: false, ...name });
    const done = (finding: CertificateFinding) => {
      signal.removeEventListener('abort', aborted);
      socket.destroy();
      resolve(finding);
    };
    const aborted = () => done(missing(of, reasonOf(undefined, signal)));
    signal.addEventListener('abort', aborted, { once: true });
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate();
      done(certificate === undefined ? missing(of, 'it shows none') : finding(of, certificate, nowUnixMs));
    });
    socket.once('error', (error) => done(missing(of, reasonOf(error, signal))));
  });
}

async function* filesOf(pattern: string): AsyncGenerator<string> {
  if (!/[*?[{]/.test(pattern)) yield pattern;
  else yield* glob(pattern);
}

async function ofFile(file: string, nowUnixMs: number): Promise<CertificateFinding> {
  try {
    return finding(file, new X509Certificate(await readFile(file)), nowUnixMs);
  } catch (error) {
    return missing(file, error instanceof Error ? error.message : String(error));
  }
}

function finding(of: string, certificate: X509Certificate, nowUnixMs: number): CertificateFinding {
  const notAfter = certificate.validToDate;
  const daysLeft = Math.floor((notAfter.getTime() - nowUnixMs) / DAY_MS);
  return {
    ok: true,
    of,
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    days_left: daysLeft,
    not_after: rfc3339(notAfter.getTime()),
    error: '',
  };
}

function missing(of: string, error: string): CertificateFinding {
  return { ok: false, of, subject: '', issuer: '', days_left: 0, not_after: '', error };
}

/** A name may be absent, though the types say otherwise. */
function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ');
}
