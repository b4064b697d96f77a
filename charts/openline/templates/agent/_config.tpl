{{/* agent.yaml. The keys that _validations.tpl keeps out of agent.config are the chart's own. */}}
{{- define "openline.agentConfig" -}}
{{- $config := dict
  "servers" (list (printf "%s-server.%s.svc:5723" (include "openline.fullname" .) .Release.Namespace))
  "dataDir" "/var/lib/openline/agent"
  "kubernetesTokenFile" "/var/run/secrets/openline/token"
  "caFile" "/var/run/secrets/openline/ca.crt"
  "hostAccess" .Values.agent.hostAccess
-}}
{{- if .Values.agent.metrics.enabled }}
{{- $_ := set $config "metricsListen" "0.0.0.0:9465" }}
{{- end }}
{{- with .Values.agent.labels }}
{{- $_ := set $config "labels" . }}
{{- end }}
{{- toYaml (mustMergeOverwrite $config (deepCopy .Values.agent.config)) -}}
{{- end -}}
