{{/* What the schema cannot say. Each message says what to set. */}}
{{- define "openline.validate" -}}
{{- $server := .Values.server -}}
{{- $agent := .Values.agent -}}

{{- if gt (int $server.replicas) 1 -}}
{{- fail "server.replicas: set 1 (or 0 to stop it): one server process per database is what the server supports" -}}
{{- end -}}

{{- if and .Values.database.url .Values.database.existingSecret -}}
{{- fail "database: set url or existingSecret, not both" -}}
{{- end -}}

{{- $elsewhere := dict
  "dataDir" "it is the chart's own; mount what you need by server.extraVolumes"
  "agentListen" "the port is 5723; publish another by server.service or server.ingress"
  "operatorListen" "the port is 5724; publish another by server.service or server.ingress"
  "metricsListen" "the port is 9464, for probes and Prometheus"
  "databaseUrl" "set database.existingSecret, or database.url"
  "advertise" "set server.advertise"
  "kubernetesCluster" "set clusterName"
  "kubernetesCaConfigMap" "it is the chart's own"
  "stateSecret" "it is the chart's own: set database.existingSecret"
  "caDirectory" "set tls.mode=existingSecret and tls.existingSecret"
-}}
{{- range $key, $instead := $elsewhere -}}
{{- if hasKey $server.config $key -}}
{{- fail (printf "server.config.%s: leave it out: %s" $key $instead) -}}
{{- end -}}
{{- end -}}

{{- $elsewhere = dict
  "dataDir" "set agent.persistence"
  "kubernetesTokenFile" "it is the chart's own"
  "caFile" "it is the chart's own"
  "labels" "set agent.labels"
  "metricsListen" "set agent.metrics.enabled; the port is 9465"
  "joinToken" "agents of a cluster prove their node, without join tokens"
  "joinTokenFile" "agents of a cluster prove their node, without join tokens"
-}}
{{- range $key, $instead := $elsewhere -}}
{{- if hasKey $agent.config $key -}}
{{- fail (printf "agent.config.%s: leave it out: %s" $key $instead) -}}
{{- end -}}
{{- end -}}

{{- if and (not $server.serviceAccount.create) (not $server.serviceAccount.name) -}}
{{- fail "server.serviceAccount.name: name the ServiceAccount, or set server.serviceAccount.create=true" -}}
{{- end -}}
{{- if and $agent.enabled (not $agent.serviceAccount.create) (not $agent.serviceAccount.name) -}}
{{- fail "agent.serviceAccount.name: name the ServiceAccount, or set agent.serviceAccount.create=true" -}}
{{- end -}}

{{- if and $server.ingress.enabled (not $server.ingress.operatorsHost) (not $server.ingress.agentsHost) -}}
{{- fail "server.ingress: set operatorsHost, agentsHost or both, or enabled=false" -}}
{{- end -}}
{{- if and $server.ingress.operatorsHost (eq $server.ingress.operatorsHost $server.ingress.agentsHost) -}}
{{- fail "server.ingress: set operatorsHost and agentsHost to different names: by the name the controller knows the port" -}}
{{- end -}}
{{- if and $server.service.loadBalancerSourceRanges (ne $server.service.type "LoadBalancer") -}}
{{- fail "server.service.loadBalancerSourceRanges: set server.service.type=LoadBalancer, or leave it empty: for other types see networkPolicy.operatorsFrom" -}}
{{- end -}}

{{- if and (eq .Values.tls.mode "existingSecret") (not .Values.tls.existingSecret) -}}
{{- fail "tls.existingSecret: name the Secret with the authority (tls.crt, tls.key), or set tls.mode=auto" -}}
{{- end -}}
{{- if and (ne .Values.tls.mode "existingSecret") .Values.tls.existingSecret -}}
{{- fail "tls.existingSecret: set tls.mode=existingSecret to use it, or leave it empty" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "certManager") (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name: name the issuer that signs the authority, or set tls.mode=auto" -}}
{{- end -}}

{{- if and $agent.enabled .Values.podMonitor.enabled (not $agent.metrics.enabled) -}}
{{- fail "podMonitor.enabled: set agent.metrics.enabled=true too: without it agents have nothing to scrape" -}}
{{- end -}}

{{- if and $agent.enabled (eq $agent.persistence.type "emptyDir") (hasKey $agent.podSecurityContext "fsGroup" | not) -}}
{{- fail "agent.podSecurityContext.fsGroup: set it: with agent.persistence.type=emptyDir the agent owns its directory by it" -}}
{{- end -}}
{{- if and $agent.enabled (eq $agent.persistence.type "hostPath") (ne $agent.hostAccess "full") -}}
{{- range tuple "runAsUser" "runAsGroup" -}}
{{- if hasKey $agent.podSecurityContext . | not -}}
{{- fail (printf "agent.podSecurityContext.%s: set it: with agent.persistence.type=hostPath the directory on the node is made its own" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.packs.extra -}}
{{- if hasKey $.Values.declared $name -}}
{{- fail (printf "declared.%s: call it something else: packs.extra has a file of that name, and both are in one directory" $name) -}}
{{- end -}}
{{- end -}}
{{- if or (hasKey .Values.agent.config "hostAccess") (hasKey .Values.agent.config "hostRoot") -}}
{{- fail "agent.config: set agent.hostAccess instead of hostAccess and hostRoot: the pod has to be made for it" -}}
{{- end -}}
{{- end -}}
