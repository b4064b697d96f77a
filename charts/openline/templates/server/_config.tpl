{{/* server.yaml. The keys that _validations.tpl keeps out of server.config are the chart's own. */}}
{{- define "openline.serverConfig" -}}
{{- $fullname := include "openline.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- $service := printf "%s-server" $fullname -}}
{{- $names := list $service (printf "%s.%s" $service $namespace) (printf "%s.%s.svc" $service $namespace) (printf "%s.%s.svc.cluster.local" $service $namespace) "localhost" "127.0.0.1" -}}
{{- $given := deepCopy .Values.server.config -}}
{{- $manifests := ternary (list "/opt/openline/packs" "/etc/openline-manifests") (list "/etc/openline-manifests") .Values.packs.shipped -}}
{{- $agents := ternary (list (printf "%s:%s" $namespace (include "openline.agentAccount" .))) list .Values.agent.enabled -}}
{{- $operators := ternary (list (printf "%s:%s=operator" $namespace (include "openline.testAccount" .))) list .Values.test.enabled -}}
{{- $ingress := ternary (compact (list .Values.server.ingress.operatorsHost .Values.server.ingress.agentsHost)) list .Values.server.ingress.enabled -}}
{{- $config := dict
  "dataDir" "/var/lib/openline/server"
  "metricsListen" "0.0.0.0:9464"
  "advertise" (uniq (concat $names $ingress .Values.server.advertise))
  "manifests" (concat $manifests (default list $given.manifests))
  "kubernetesCluster" .Values.clusterName
  "kubernetesAgents" (concat $agents (default list $given.kubernetesAgents) | default list)
  "kubernetesOperators" (concat $operators (default list $given.kubernetesOperators) | default list)
  "kubernetesCaConfigMap" (include "openline.caConfigMap" .)
-}}
{{- if include "openline.hasExternalDatabase" . -}}
{{- $_ := set $config "stateSecret" (printf "%s-state" $fullname) -}}
{{- end -}}
{{- if and .Values.server.ingress.enabled .Values.server.ingress.agentsHost (not $given.agentAddress) -}}
{{- $_ := set $config "agentAddress" (printf "%s:443" .Values.server.ingress.agentsHost) -}}
{{- end -}}
{{- if include "openline.authoritySecret" . -}}
{{- $_ := set $config "caDirectory" "/etc/openline-ca" -}}
{{- end -}}
{{- toYaml (merge $config $given) -}}
{{- end -}}
