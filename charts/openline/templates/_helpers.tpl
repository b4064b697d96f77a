{{/* 45 characters: with what is put behind them, the label of a StatefulSet's pods that names their revision has room for 63. */}}
{{- define "openline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 45 | trimSuffix "-" -}}
{{- end -}}

{{- define "openline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "openline.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Two releases on one node have two journals; the path of a release that is there already stays, whoever chose it. */}}
{{- define "openline.agentHostPath" -}}
{{- $path := .Values.agent.persistence.hostPath -}}
{{- if not $path -}}
{{- $own := printf "%s_%s" .Release.Namespace .Release.Name -}}
{{- $path = eq $own "openline_openline" | ternary "/var/lib/openline/agent" (printf "/var/lib/openline/agents/%s" $own) -}}
{{- $installed := lookup "apps/v1" "DaemonSet" .Release.Namespace (printf "%s-agent" (include "openline.fullname" .)) -}}
{{- range $installed | dig "spec" "template" "spec" "volumes" list -}}
{{- if and (eq .name "data") .hostPath -}}
{{- $path = .hostPath.path -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $path -}}
{{- end -}}

{{/* component: of what an object is a part. No version of the chart: a release of the chart alone must not restart every agent. */}}
{{- define "openline.selectorLabels" -}}
app.kubernetes.io/name: {{ include "openline.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "openline.labels" -}}
{{ include "openline.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: openline
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "openline.podLabels" -}}
{{ include "openline.selectorLabels" . }}
app.kubernetes.io/part-of: openline
{{- end -}}

{{- define "openline.image" -}}
{{- $image := .image -}}
{{- $name := empty $image.registry | ternary $image.repository (printf "%s/%s" $image.registry $image.repository) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "openline.serverAccount" -}}
{{- if .Values.server.serviceAccount.create -}}
{{- default (printf "%s-server" (include "openline.fullname" .)) .Values.server.serviceAccount.name -}}
{{- else -}}
{{- .Values.server.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "openline.agentAccount" -}}
{{- if .Values.agent.serviceAccount.create -}}
{{- default (printf "%s-agent" (include "openline.fullname" .)) .Values.agent.serviceAccount.name -}}
{{- else -}}
{{- .Values.agent.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "openline.testAccount" -}}
{{ include "openline.fullname" . }}-test
{{- end -}}

{{/* "true", or nothing: then the database is the embedded one. */}}
{{- define "openline.hasExternalDatabase" -}}
{{- if or .Values.database.url .Values.database.existingSecret -}}true{{- end -}}
{{- end -}}

{{- define "openline.databaseSecret" -}}
{{- default (printf "%s-database" (include "openline.fullname" .)) .Values.database.existingSecret -}}
{{- end -}}

{{/* What the server publishes to its agents. */}}
{{- define "openline.caConfigMap" -}}
{{ include "openline.fullname" . }}-ca
{{- end -}}

{{/* The Secret with the authority that is given to the server; nothing where it makes its own. */}}
{{- define "openline.authoritySecret" -}}
{{- if eq .Values.tls.mode "certManager" -}}
{{ include "openline.fullname" . }}-authority
{{- else if eq .Values.tls.mode "existingSecret" -}}
{{ .Values.tls.existingSecret }}
{{- end -}}
{{- end -}}

{{/* What `kubectl exec` takes. */}}
{{- define "openline.serverWorkload" -}}
{{ include "openline.hasExternalDatabase" . | empty | ternary "sts" "deploy" }}/{{ include "openline.fullname" . }}-server
{{- end -}}

{{- define "openline.audience" -}}
{{ default "openline" .Values.server.config.kubernetesAudience }}
{{- end -}}

{{/* Peers of a NetworkPolicy. */}}
{{- define "openline.metricsFrom" -}}
{{- with .Values.networkPolicy.metricsFrom -}}
{{ toYaml . }}
{{- else -}}
- namespaceSelector: {}
{{- end -}}
{{- end -}}
