import { type ChildProcess, spawn } from 'node:child_process';
import type { NodeEvent } from '@openline/packs';
import { readChildLines } from '../read/child-lines.ts';
import { createLoop, type LoopDeps, type Reading, SourceFault } from '../read/loop.ts';
import { decodePosition, isCount, POSITION_UNREADABLE } from '../read/position.ts';
import type { EventSource } from '../source.ts';
import { parseSaid } from './record.ts';

/**
 * UNTESTED on Windows. The Application log, by a PowerShell that asks for new records every second. Only its reading of what the script says
 * is tested; the script itself never ran on a Windows machine.
 */

export interface WindowsConfig {
  /** Default: the PowerShell of the system, with the script. @param after -1: from now on */
  readonly start?: (after: number) => ChildProcess;
}

const MAX_LINE_BYTES = 256 * 1024;

const SCRIPT = `
$ErrorActionPreference = 'Stop'
[Console]::OutputEncoding = [Text.UTF8Encoding]::new($false)
function Say($what) { [Console]::Out.WriteLine((ConvertTo-Json $what -Compress -Depth 3)) }
function Newest { try { (Get-WinEvent -LogName Application -MaxEvents 1).RecordId } catch { if ($_.FullyQualifiedErrorId -like 'NoMatchingEventsFound*') { 0 } else { throw } } }
$after = [long]$env:OPENLINE_AFTER
if ($after -lt 0) { $after = [long](Newest); Say @{ end = $after } }
while ($true) {
  try { $events = @(Get-WinEvent -LogName Application -FilterXPath "*[System[EventRecordID > $after]]" -Oldest -MaxEvents 200) }
  catch { if ($_.FullyQualifiedErrorId -like 'NoMatchingEventsFound*') { $events = @() } else { throw } }
  foreach ($e in $events) {
    $after = [long]$e.RecordId
    Say @{ record = $after; provider = $e.ProviderName; id = $e.Id; level = [int]$e.Level; at = $e.TimeCreated.ToUniversalTime().ToString('o'); message = [string]$e.Message; computer = $e.MachineName; values = @($e.Properties | Select-Object -First 32 | ForEach-Object { [string]$_.Value }) }
  }
  if ($events.Count -eq 0) {
    if ([long](Newest) -lt $after) { $after = 0; Say @{ emptied = $true } }
    Start-Sleep -Milliseconds 1000
  }
}
`;

export function createWindowsSource(deps: LoopDeps, { start = startPowerShell }: WindowsConfig = {}): EventSource {
  return createLoop(deps, 'windows', (reading) => readLog(reading, start));
}

async function readLog(reading: Reading, start: (after: number) => ChildProcess): Promise<void> {
  const saved = reading.position();
  const known = decodePosition(saved, ({ record }) => (isCount(record) ? record : undefined));
  if (saved !== undefined && known === undefined) reading.lost(0, POSITION_UNREADABLE);
  let at = known ?? -1;

  async function take(lines: readonly string[], tooLong: number): Promise<void> {
    const events: NodeEvent[] = [];
    if (tooLong > 0) reading.lost(tooLong, `longer than ${MAX_LINE_BYTES / 1024} KiB`);
    for (const line of lines) {
      const said = parseSaid(line);
      if (said === undefined) continue;
      if (said.kind === 'event') events.push(said.event);
      if (said.kind === 'emptied') reading.lost(0, 'the log was emptied');
      at = said.kind === 'emptied' ? 0 : said.record;
    }
    await reading.push(events, JSON.stringify({ record: Math.max(at, 0) }));
  }

  const { error, stderr } = await readChildLines(
    start(at),
    { signal: reading.signal, maxLineBytes: MAX_LINE_BYTES },
    take,
  );
  if (reading.signal.aborted) return;
  const why = stderr.trim().split('\n')[0] || error.message;
  throw new SourceFault(`the Application log cannot be read: PowerShell: ${why}`, { cause: error });
}

function startPowerShell(after: number): ChildProcess {
  const args = ['-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-EncodedCommand', encoded(SCRIPT)];
  return spawn('powershell.exe', args, {
    env: { ...process.env, OPENLINE_AFTER: String(after) },
    stdio: ['ignore', 'pipe', 'pipe'],
    windowsHide: true,
  });
}

/** As PowerShell takes a script of several lines on its command line. */
function encoded(script: string): string {
  return Buffer.from(script, 'utf16le').toString('base64');
}
