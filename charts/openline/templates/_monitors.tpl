{{- define "openline.monitorLabels" -}}
{{- include "openline.labels" . }}
{{- with .monitor.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An endpoint of a ServiceMonitor or PodMonitor, beside its port. */}}
{{- define "openline.scrape" -}}
path: /metrics
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
