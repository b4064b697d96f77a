import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { PackError } from './errors.ts';
import { parsePack } from './parse.ts';

const schemaUrl = new URL('../schema/pack.schema.json', import.meta.url);
const valid = new Ajv2020({ strict: false }).compile(JSON.parse(readFileSync(schemaUrl, 'utf8')));

function parses(text: string): boolean {
  try {
    parsePack(Buffer.from(text), 'pack.yaml');
    return true;
  } catch (error) {
    if (error instanceof PackError) return false;
    throw error;
  }
}

/** A pack whose one task has these lines, each indented as they are below `t:`. */
function withTask(lines: string): string {
  return `apiVersion: openline.dev/v1
kind: Pack
metadata: {name: p, version: 1.0.0, title: P}
tasks:
  t:
    title: T
    ${lines.trim().replaceAll('\n', '\n    ')}
`;
}

/** A pack with one task and one rule, or one monitor, of these lines. */
function withWatch(kind: 'rules' | 'monitors', lines: string): string {
  return `${minimal}${kind}:
  w:
    ${lines.trim().replaceAll('\n', '\n    ')}
`;
}

const parameter = (schema: string) => withTask(`parameters: {p: ${schema}}\nrun: {builtin: ping}`);
const run = (text: string) => withTask(`parameters: {p: {type: string}}\nrun: ${text}`);
const minimal = run('{builtin: ping}');

const rule = (lines: string) => withWatch('rules', `title: T\n${lines}`);
const monitor = (lines: string) => withWatch('monitors', `title: T\n${lines}`);
const probe = (fields: string) => monitor(`probe: {every: 1m, warning: 'true', ${fields}}`);
const sound = 'on: {source: s}\nmetric: m';
const watched = 'probe: {every: 1m, run: {command: [ls]}, warning: sample.x > 1}';

const GOOD = {
  'a minimal pack': minimal,
  'every field of a task': withTask(`
description: D
risk: dangerous
timeout: 24h
successCodes: [0, 3]
requires: {os: linux, interpreter.bash: '*'}
parameters:
  s: {type: string, minLength: 1, maxLength: 9, pattern: '^a', default: abc, examples: [ab], description: d, title: t}
  i: {type: integer, minimum: 1, maximum: 9, optional: true}
  n: {type: number, exclusiveMinimum: 0, exclusiveMaximum: 1, multipleOf: 0.5, optional: true}
  b: {type: boolean, const: true, optional: true}
  a: {type: array, items: {type: string, format: host}, minItems: 1, maxItems: 3, uniqueItems: true, optional: true}
  o: {type: object, properties: {x: {type: integer}}, required: [x], additionalProperties: false, optional: true}
run: {command: [cat, '', '-n', {param: s}, {param: a}]}
examples: [{title: E, parameters: {s: abc, i: 3, a: [localhost], o: {x: 1}}}]`),
  'a script': run('{script: {interpreter: python3, source: "print(1)"}}'),
  'a rule without tasks': minimal.replace(/tasks:[\s\S]*/, 'rules: {r: {title: T, on: {log: kernel}, metric: m}}\n'),
  'every field of a rule': rule(`
description: D
requires: {os: linux}
enabled: false
settings: {limit: 3, word: x, flag: true}
on:
  - {log: [journal, 'file:/var/log/*'], source: sshd, id: ['1', '2'], level: warning, pattern: 'from (?P<ip>\\S+)'}
  - {where: event.data.n > settings.limit}
threshold: {count: 5, within: 2m, by: match.ip}
alert: {severity: critical, title: 'From \${match.ip}', description: 'D \${count}', key: match.ip}
run: {pack: other, task: look, parameters: {a: '\${match.ip}', b: 3}, cooldown: 1h}
metric: logins`),
  'an absence': rule(`
on: {source: s, id: a}
absence: {expect: [{source: s, id: b}], within: 30s, by: event.data.job}
alert: {severity: warning, title: T}`),
  'a task of the same pack': rule(`on: {source: s}\nrun: {task: t, parameters: {p: '\${event.id}'}}`),
  'a monitor by a script, with everything': monitor(`
description: D
requires: {os: linux}
enabled: true
settings: {limit: 80}
probe:
  run: {script: {interpreter: sh, source: 'df'}}
  output: json
  every: 1m
  timeout: 30s
  instance: sample.mount
  trend: {value: sample.used, over: 6h}
  warning: sample.used > settings.limit
  critical: trend.hours_to(sample.size) < 4
  samples: 3
reset: manual
alert: {from: critical, severity: warning, title: 'T \${instance} \${state}', description: '\${sample.used}'}
diagnostic: {pack: other, task: look}
recoveries:
  - {on: critical, pack: other, task: mend, when: diagnostic.exit_code == 1, most: 3, cooldown: 30m, parameters: {m: '\${instance}'}}`),
  'a monitor of events': monitor(`
events:
  warning: {source: s, id: w}
  critical: [{source: s, id: c}]
  healthy: {source: s, id: h}
  instance: event.source
reset: input`),
  'a monitor of events with a timer': monitor('events: {warning: {source: s}}\nreset: {after: 15m}'),
  'a probe of a command that is told a setting': monitor(
    'settings: {mount_point: /}\nprobe: {every: 1m, output: text, run: {command: [df, {param: mount_point}]}, critical: sample.exit_code != 0}',
  ),
  'a probe by HTTP': probe("http: {url: 'http://x/', method: HEAD, pattern: ok, verifyTls: false}"),
  'a probe by HTTP of an address in a setting': probe(`http: {url: '\${agent.labels.url}'}`),
  'a probe by TCP': probe('tcp: {host: localhost, port: 80}'),
  'a probe by DNS': probe('dns: {host: example.org, type: MX}'),
  'a probe of a process by name': probe('process: {name: nginx}'),
  'a probe of a process by command line': probe("process: {pattern: '^java .*payroll'}"),
  'a probe of certificate files': probe("certificate: {files: ['/etc/ssl/*.pem']}"),
  "a probe of a server's certificate": probe('certificate: {host: example.org}'),
  'a task that is refused in maintenance': withTask('maintenance: refuse\nrun: {builtin: ping}'),
  'a prerelease': minimal.replace('1.0.0', '1.0.0-rc.1+build.7'),
};

const BAD = {
  'no apiVersion': minimal.replace(/^apiVersion.*\n/, ''),
  'another apiVersion': minimal.replace('/v1', '/v2'),
  'another kind': minimal.replace('kind: Pack', 'kind: Bundle'),
  'an unknown field at the top': `${minimal}extra: 1\n`,
  'no name': minimal.replace('name: p, ', ''),
  'a name with capitals': minimal.replace('name: p', 'name: Pack'),
  'a name that ends with a dash': minimal.replace('name: p', 'name: p-'),
  'a version of two numbers': minimal.replace('1.0.0', "'1.0'"),
  'no title': minimal.replace(', title: P', ''),
  'an empty title': minimal.replace('title: P', "title: ' '"),
  'no tasks': minimal.replace(/tasks:[\s\S]*/, 'tasks: {}\n'),
  'a task name with an underscore': minimal.replace('  t:', '  t_t:'),
  'no run': withTask('risk: read'),
  'an unknown field of a task': withTask('timout: 3s\nrun: {builtin: ping}'),
  'an unknown risk': withTask('risk: high\nrun: {builtin: ping}'),
  'a time without a unit': withTask("timeout: '30'\nrun: {builtin: ping}"),
  'no success code': withTask('successCodes: []\nrun: {builtin: ping}'),
  'an impossible exit code': withTask('successCodes: [256]\nrun: {builtin: ping}'),
  'a requirement that is a number': withTask('requires: {cpus: 4}\nrun: {builtin: ping}'),
  'two ways to run': run('{builtin: ping, command: [ls]}'),
  'no way to run': run('{}'),
  'an unknown builtin': run('{builtin: pong}'),
  'an empty command': run('{command: []}'),
  'a program from a parameter': run('{command: [{param: p}]}'),
  'a number as an argument': run('{command: [sleep, 5]}'),
  'an argument that is neither': run('{command: [ls, {parameter: p}]}'),
  'an unknown interpreter': run('{script: {interpreter: perl, source: x}}'),
  'a script without source': run('{script: {interpreter: sh}}'),
  'a parameter without a type': parameter('{default: 1}'),
  'a parameter of two types': parameter('{type: [string, integer]}'),
  'an unknown keyword': parameter('{type: string, maximumLength: 3}'),
  'a keyword of another type': parameter('{type: integer, maxLength: 3}'),
  'a keyword of numbers on text': parameter('{type: string, minimum: 3}'),
  'an array without items': parameter('{type: array}'),
  'a length below zero': parameter('{type: string, minLength: -1}'),
  'optional with a default': parameter('{type: string, default: a, optional: true}'),
  'optional inside': parameter('{type: array, items: {type: string, optional: true}}'),
  'an unknown format': parameter('{type: string, format: date}'),
  'a parameter name with an underscore': minimal.replace('{p:', '{p_q:'),
  'an unknown word for maintenance': withTask('maintenance: skip\nrun: {builtin: ping}'),
  'neither tasks, rules nor monitors': minimal.replace(/tasks:[\s\S]*/, ''),
  'no rules': minimal.replace(/tasks:[\s\S]*/, 'rules: {}\n'),
  'a rule without a title': withWatch('rules', sound),
  'a rule without on': rule('metric: m'),
  'a rule that does nothing': rule('on: {source: s}'),
  'an unknown field of a rule': rule(`${sound}\nwhen: x`),
  'a rule that matches everything': rule('on: {}\nmetric: m'),
  'an empty list of matches': rule('on: []\nmetric: m'),
  'an unknown field of a match': rule('on: {logs: kernel}\nmetric: m'),
  'an unknown level': rule('on: {level: fatal}\nmetric: m'),
  'a setting with a dash': rule(`${sound}\nsettings: {a-b: 1}`),
  'a setting that is a list': rule(`${sound}\nsettings: {a: [1]}`),
  'a threshold of one': rule(`${sound}\nthreshold: {count: 1, within: 1m}`),
  'a threshold without a time': rule(`${sound}\nthreshold: {count: 2}`),
  'a threshold and an absence': rule(
    `${sound}\nthreshold: {count: 2, within: 1m}\nabsence: {expect: {source: s}, within: 1m}`,
  ),
  'an absence of nothing': rule(`${sound}\nabsence: {within: 1m}`),
  'an alert of a rule without a severity': rule('on: {source: s}\nalert: {title: T}'),
  'an alert without a title': rule('on: {source: s}\nalert: {severity: warning}'),
  'an unknown severity': rule('on: {source: s}\nalert: {severity: major, title: T}'),
  'an answer without a task': rule('on: {source: s}\nrun: {pack: other}'),
  'a cool-down without a unit': rule("on: {source: s}\nrun: {pack: other, task: t, cooldown: '10'}"),
  'a metric with a space': rule("on: {source: s}\nmetric: 'a b'"),
  'a monitor with neither probe nor events': monitor('reset: manual'),
  'a monitor with both': monitor(`${watched}\nevents: {warning: {source: s}, healthy: {source: s}}`),
  'a probe without every': monitor('probe: {run: {command: [ls]}, warning: sample.x > 1}'),
  'a probe that is never bad': monitor('probe: {every: 1m, run: {command: [ls]}}'),
  'a probe that looks at nothing': monitor('probe: {every: 1m, warning: sample.x > 1}'),
  'a probe of two kinds': probe('run: {command: [ls]}, tcp: {host: x, port: 1}'),
  'a probe of a builtin': probe('run: {builtin: ping}'),
  'an output of what runs nothing': probe('tcp: {host: x, port: 1}, output: json'),
  'an unknown output': probe('run: {command: [ls]}, output: xml'),
  'no samples': probe('run: {command: [ls]}, samples: 0'),
  'a trend of nothing': probe('run: {command: [ls]}, trend: {over: 6h}'),
  'a URL without a scheme': probe('http: {url: example.org}'),
  'a port of 0': probe('tcp: {host: x, port: 0}'),
  'an unknown kind of record': probe('dns: {host: x, type: ANY}'),
  'a process by both': probe('process: {name: a, pattern: b}'),
  'certificates of files and of a server': probe('certificate: {files: [/a], host: b}'),
  'no certificate files': probe('certificate: {files: []}'),
  'events that are never bad': monitor('events: {healthy: {source: s}}'),
  'events after which it is never healthy': monitor('events: {warning: {source: s}}'),
  'events that nothing resets': monitor('events: {warning: {source: s}}\nreset: input'),
  'an unknown reset': monitor(`${watched}\nreset: auto`),
  'a timer for a probe': monitor(`${watched}\nreset: {after: 15m}`),
  'a key of a monitor': monitor(`${watched}\nalert: {title: T, key: instance}`),
  'an alert from healthy on': monitor(`${watched}\nalert: {title: T, from: healthy}`),
  'a recovery without a state': monitor(`${watched}\nrecoveries: [{pack: other, task: t}]`),
  'a recovery that is never run': monitor(`${watched}\nrecoveries: [{on: warning, pack: other, task: t, most: 0}]`),
  'an example without a title': withTask('run: {builtin: ping}\nexamples: [{parameters: {}}]'),
};

describe('the schema for editors', () => {
  const folder = new URL('../shipped/', import.meta.url);
  for (const file of readdirSync(folder).filter((name) => !name.endsWith('.test.yaml'))) {
    it(`accepts the shipped ${file}, as the parser does`, () => {
      const text = readFileSync(new URL(file, folder), 'utf8');
      expect(valid(parse(text)), JSON.stringify(valid.errors)).toBe(true);
      expect(parses(text)).toBe(true);
    });
  }

  it.each(Object.entries(GOOD))('accepts %s, as the parser does', (_name, text) => {
    expect({ schema: valid(parse(text)), parser: parses(text) }, JSON.stringify(valid.errors)).toEqual({
      schema: true,
      parser: true,
    });
  });

  it.each(Object.entries(BAD))('refuses %s, as the parser does', (_name, text) => {
    expect({ schema: valid(parse(text)), parser: parses(text) }).toEqual({ schema: false, parser: false });
  });
});
