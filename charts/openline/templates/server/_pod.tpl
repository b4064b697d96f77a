{{/* The pod, the same in either workload but for its data: a claim of the StatefulSet, or an emptyDir in the Deployment. */}}
{{- define "openline.serverPod" -}}
{{- $fullname := include "openline.fullname" . -}}
{{- $external := include "openline.hasExternalDatabase" . -}}
metadata:
  labels:
    {{- include "openline.podLabels" (dict "root" . "component" "server") | nindent 4 }}
    {{- with .Values.server.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Of what the server reads, without labels: they change with each version of the chart.
    checksum/config: {{ printf "%s%s" (include "openline.serverConfig" .) .Values.database.url | sha256sum }}
    {{- with .Values.server.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "openline.serverAccount" . }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.server.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.server.podSecurityContext | nindent 4 }}
  containers:
    - name: server
      image: {{ include "openline.image" (dict "root" . "image" .Values.server.image) }}
      imagePullPolicy: {{ .Values.server.image.pullPolicy }}
      args: [server, --config, /etc/openline/server.yaml]
      securityContext:
        {{- toYaml .Values.server.securityContext | nindent 8 }}
      {{- if or $external .Values.server.extraEnv }}
      env:
        {{- if $external }}
        - name: OPENLINE_SERVER_DATABASE_URL
          valueFrom:
            secretKeyRef:
              name: {{ include "openline.databaseSecret" . }}
              key: {{ .Values.database.existingSecret | empty | ternary "url" .Values.database.existingSecretKey }}
        {{- end }}
        {{- with .Values.server.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - { name: agents, containerPort: 5723 }
        - { name: operators, containerPort: 5724 }
        - { name: metrics, containerPort: 9464 }
      startupProbe:
        httpGet: { path: /readyz, port: metrics }
        periodSeconds: 2
        timeoutSeconds: 5
        # Ten minutes: the first start makes a database, and one after a crash recovers it. To be killed in that only makes it longer.
        failureThreshold: 300
      readinessProbe:
        httpGet: { path: /readyz, port: metrics }
        periodSeconds: 5
        timeoutSeconds: 5
      # What is slow because the node is busy is not helped by a restart.
      livenessProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 10
        timeoutSeconds: 10
        failureThreshold: 6
      resources:
        {{- toYaml .Values.server.resources | nindent 8 }}
      volumeMounts:
        - { name: data, mountPath: /var/lib/openline/server }
        - { name: tmp, mountPath: /tmp }
        - { name: config, mountPath: /etc/openline, readOnly: true }
        - { name: manifests, mountPath: /etc/openline-manifests, readOnly: true }
        {{- if include "openline.authoritySecret" . }}
        - { name: authority, mountPath: /etc/openline-ca, readOnly: true }
        {{- end }}
        {{- with .Values.server.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- if $external }}
    # The authority and the keys are in a Secret, all else in the database.
    - name: data
      emptyDir: {}
    {{- end }}
    - name: tmp
      emptyDir: {}
    - name: config
      configMap: { name: {{ $fullname }}-server }
    - name: manifests
      configMap: { name: {{ $fullname }}-manifests }
    {{- with include "openline.authoritySecret" . }}
    - name: authority
      secret: { secretName: {{ . }} }
    {{- end }}
    {{- with .Values.server.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.server.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.server.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.server.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.server.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.server.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
{{- end -}}
