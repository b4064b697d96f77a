/** The built-in templates. Mail programs on phones know little CSS: everything is inline, nothing is fetched. */

export const SUBJECT = '[{{label}}] {{headline}}';

export const TEXT = `{{#isTest}}This is a test message of Openline. Nothing is wrong.

{{/isTest}}
{{^isDigest}}
{{alert.title}}

Severity:  {{alert.severity}}
State:     {{alert.state}}{{#alert.owner}} ({{alert.owner}}){{/alert.owner}}
{{#alert.agent}}
Agent:     {{alert.agent}}
{{/alert.agent}}
Watch:     {{alert.watch}}{{#alert.key}} ({{alert.key}}){{/alert.key}}
Since:     {{alert.firstAt}}
{{#alert.repeated}}
Repeated:  {{alert.count}} times, last {{alert.lastAt}}
{{/alert.repeated}}
{{#alert.isClosed}}
Closed:    {{alert.closedAt}}, after {{alert.lasted}}
{{/alert.isClosed}}
By:        {{change.by}}
{{#change.comment}}
Comment:   {{change.comment}}
{{/change.comment}}
{{#alert.description}}

{{alert.description}}
{{/alert.description}}
{{/isDigest}}
{{#isDigest}}
{{headline}}:

{{#items}}
- [{{#alert.isClosed}}closed{{/alert.isClosed}}{{^alert.isClosed}}{{alert.severity}}{{/alert.isClosed}}] {{alert.headline}}
  {{change.at}}, {{alert.watch}}{{#alert.repeated}}, {{alert.count}} times{{/alert.repeated}}, alert {{alert.id}}
{{/items}}
{{#omitted}}
and {{omitted}} earlier ones
{{/omitted}}
{{/isDigest}}

-- 
{{^isDigest}}
Alert {{alert.id}}: openline alerts show {{alert.id}}
{{/isDigest}}
Sent because of the subscription {{subscription}}{{#isEscalation}}, step {{step}} of its escalation{{/isEscalation}}.
`;

const CELL = 'style="padding:2px 12px 2px 0;color:#57606a;vertical-align:top;white-space:nowrap"';
const VALUE = 'style="padding:2px 0;vertical-align:top;white-space:pre-wrap;word-break:break-word"';
const row = (name: string, value: string) => `<tr><td ${CELL}>${name}</td><td ${VALUE}>${value}</td></tr>`;
const BAR =
  '{{#alert.isClosed}}#1a7f37{{/alert.isClosed}}{{^alert.isClosed}}{{#alert.isCritical}}#cf222e{{/alert.isCritical}}{{#alert.isWarning}}#bf8700{{/alert.isWarning}}{{#alert.isInformation}}#0969da{{/alert.isInformation}}{{/alert.isClosed}}';

export const HTML = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{label}}</title></head>
<body style="margin:0;padding:16px;background:#ffffff;color:#1f2328;font:15px/1.45 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">
<div style="max-width:640px;margin:0 auto">
{{#isTest}}<p style="margin:0 0 12px"><strong>This is a test message of Openline. Nothing is wrong.</strong></p>{{/isTest}}
{{^isDigest}}
<div style="border-left:5px solid ${BAR};padding:2px 0 2px 12px;margin:0 0 12px">
<div style="color:#57606a;font-size:13px;text-transform:uppercase;letter-spacing:.04em">{{label}}</div>
<div style="font-size:19px;font-weight:600;word-break:break-word">{{alert.title}}</div>
</div>
<table role="presentation" style="border-collapse:collapse;font-size:14px">
${row('Severity', '{{alert.severity}}')}
${row('State', '{{alert.state}}{{#alert.owner}} ({{alert.owner}}){{/alert.owner}}')}
{{#alert.agent}}${row('Agent', '{{alert.agent}}')}{{/alert.agent}}
${row('Watch', '{{alert.watch}}{{#alert.key}} ({{alert.key}}){{/alert.key}}')}
${row('Since', '{{alert.firstAt}}')}
{{#alert.repeated}}${row('Repeated', '{{alert.count}} times, last {{alert.lastAt}}')}{{/alert.repeated}}
{{#alert.isClosed}}${row('Closed', '{{alert.closedAt}}, after {{alert.lasted}}')}{{/alert.isClosed}}
${row('By', '{{change.by}}')}
{{#change.comment}}${row('Comment', '{{change.comment}}')}{{/change.comment}}
</table>
{{#alert.description}}<p style="white-space:pre-wrap;word-break:break-word;margin:14px 0">{{alert.description}}</p>{{/alert.description}}
{{/isDigest}}
{{#isDigest}}
<p style="font-size:19px;font-weight:600;margin:0 0 12px">{{headline}}</p>
{{#items}}
<div style="border-left:5px solid ${BAR};padding:2px 0 2px 12px;margin:0 0 10px">
<div style="font-weight:600;word-break:break-word">{{alert.headline}}</div>
<div style="color:#57606a;font-size:13px">{{#alert.isClosed}}closed{{/alert.isClosed}}{{^alert.isClosed}}{{alert.severity}}{{/alert.isClosed}}, {{change.at}}, {{alert.watch}}{{#alert.repeated}}, {{alert.count}} times{{/alert.repeated}}, alert {{alert.id}}</div>
</div>
{{/items}}
{{#omitted}}<p>and {{omitted}} earlier ones</p>{{/omitted}}
{{/isDigest}}
<p style="color:#57606a;font-size:12px;border-top:1px solid #d1d9e0;margin:18px 0 0;padding:8px 0 0">Sent because of the subscription {{subscription}}{{#isEscalation}}, step {{step}} of its escalation{{/isEscalation}}.{{^isDigest}} Alert {{alert.id}}.{{/isDigest}}</p>
</div></body></html>
`;

/** Of chats. Slack's and Teams' own marks for bold and the like are left out: both show this as it stands. */
export const CHAT = `{{#isTest}}(test message, nothing is wrong) {{/isTest}}[{{label}}] {{headline}}
{{^isDigest}}
{{alert.watch}}{{#alert.key}} ({{alert.key}}){{/alert.key}}, since {{alert.firstAt}}{{#alert.repeated}}, {{alert.count}} times{{/alert.repeated}}{{#alert.isClosed}}, closed after {{alert.lasted}}{{/alert.isClosed}}
{{#change.comment}}
{{change.by}}: {{change.comment}}
{{/change.comment}}
{{#alert.description}}
{{alert.description}}
{{/alert.description}}
{{/isDigest}}
{{#isDigest}}
{{#items}}
• {{#alert.isClosed}}closed{{/alert.isClosed}}{{^alert.isClosed}}{{alert.severity}}{{/alert.isClosed}}: {{alert.headline}} ({{change.at}})
{{/items}}
{{#omitted}}
and {{omitted}} earlier ones
{{/omitted}}
{{/isDigest}}`;
