import { createColors } from 'picocolors';
import type { Screen } from '../io.ts';
import { type Column, renderTable } from '../render/table.ts';
import { assignments, plural } from '../render/text.ts';
import type { PreviewView } from '../views/run.ts';

type Target = PreviewView['targets'][number];

/** "would run", "would wait" (offline, and the run waits), or why not. */
function verdict(target: Target, waits: boolean): 'run' | 'wait' | 'reject' {
  if (target.wouldReject !== null) return 'reject';
  return target.online || !waits ? 'run' : 'wait';
}

const puts: Column<Target> = {
  title: 'PUTS IN',
  cell: ({ parametersFrom }) => assignments(parametersFrom),
  shrinks: true,
};

/** `--dry-run` as a table and a sentence. Pure. */
export function renderPreview(preview: PreviewView, waits: boolean, screen: Screen): string[] {
  const paint = createColors(screen.color);
  const columns: Column<Target>[] = [
    { title: 'AGENT', cell: (target) => target.agent, shrinks: true },
    { title: 'ONLINE', cell: (target) => (target.online ? 'yes' : 'no') },
    { title: 'HOLDS PACK', cell: (target) => (target.holdsPack ? 'yes' : 'no') },
    {
      title: 'WOULD',
      cell: (target) => verdict(target, waits),
      paint: (text, target) => (target.wouldReject === null ? paint.green(text) : paint.yellow(text)),
    },
    ...(preview.targets.some(({ parametersFrom }) => Object.keys(parametersFrom).length > 0) ? [puts] : []),
    {
      title: 'WHY',
      cell: (target) => (target.wouldReject === null ? '' : `${target.wouldReject.code}: ${target.wouldReject.reason}`),
      shrinks: true,
    },
  ];
  const count = (wanted: string) => preview.targets.filter((target) => verdict(target, waits) === wanted).length;
  const parts = [
    `${count('run')} would run it`,
    ...(count('wait') > 0 ? [`${count('wait')} would wait for their agent`] : []),
    ...(count('reject') > 0 ? [`${count('reject')} would be rejected`] : []),
  ];
  return [
    ...renderTable(columns, preview.targets, screen.columns),
    '',
    `${preview.task} (pack version ${preview.packVersion}) on ${plural(preview.targets.length, 'target')}: ${parts.join(', ')}. Nothing was run.`,
    `parameters: ${JSON.stringify(preview.parameters)}`,
  ];
}
