import type { ProbePlan, ProbeResult } from '@openline/packs/engine';
import { matches } from '../tasks/admission.ts';
import type { ProbeProcessContext } from './probes/run.ts';

export interface ProbeContext extends ProbeProcessContext {
  /** Patterns of "pack/monitor" that may start processes here, `*` for any characters. */
  readonly allow: readonly string[];
}

/** Does what a plan says, once. What a kind of probe needs is loaded when the first of it runs: an agent has little memory. Never throws for what the machine or the network does: that is what is found. */
export async function runProbe(context: ProbeContext, plan: ProbePlan, signal: AbortSignal): Promise<ProbeResult> {
  const { probe } = plan;
  const nowUnixMs = context.clock.unixMs();
  switch (probe.kind) {
    case 'run': {
      const name = `${plan.monitor.pack}/${plan.monitor.name}`;
      if (!context.allow.some((pattern) => matches(pattern, name))) {
        return { ok: false, error: `monitors.allow of this agent does not let ${name} start a process` };
      }
      const { runProbeProcess } = await import('./probes/run.ts');
      const { sampleOfProcess } = await import('@openline/packs/engine');
      return runProbeProcess(context, plan, probe, (outcome) => sampleOfProcess(probe.output, outcome), signal);
    }
    case 'http': {
      const fits = await tester(probe.pattern);
      const { probeHttp } = await import('./probes/network.ts');
      return found(await probeHttp(probe, fits ?? (() => true), signal));
    }
    case 'tcp': {
      const { probeTcp } = await import('./probes/network.ts');
      return found(await probeTcp(probe.host, Number(probe.port), signal));
    }
    case 'dns': {
      const { probeDns } = await import('./probes/network.ts');
      return found(await probeDns(probe, signal));
    }
    case 'process': {
      if (process.platform !== 'linux') return { ok: false, error: 'processes are found on Linux only' };
      const { probeProcesses } = await import('./probes/process.ts');
      return found(await probeProcesses(probe.name, await tester(probe.pattern), `${context.view.root}/proc`));
    }
    case 'certificate': {
      const { probeCertificateFiles, probeCertificateHost } = await import('./probes/certificate.ts');
      const { of } = probe;
      if ('files' in of) return found(await probeCertificateFiles(of.files, nowUnixMs, context.view.root));
      return found(await probeCertificateHost(of.host, of.port, nowUnixMs, signal));
    }
    default:
      return probe satisfies never;
  }
}

function found(sample: unknown): ProbeResult {
  return { ok: true, sample };
}

/** @throws the pattern is none, once its templates were filled in */
async function tester(pattern: string | undefined): Promise<((text: string) => boolean) | undefined> {
  if (pattern === undefined) return undefined;
  const { compilePattern } = await import('@openline/packs/regex');
  const compiled = compilePattern(pattern);
  return (text) => compiled.test(text);
}
