{{- define "openline.validate" -}}
{{- if and .Values.database.url .Values.database.existingSecret -}}
{{- fail "database: give url or existingSecret, not both" -}}
{{- end -}}
{{- if not (has .Values.agent.persistence.type (list "hostPath" "emptyDir")) -}}
{{- fail "agent.persistence.type: hostPath or emptyDir" -}}
{{- end -}}
{{- end -}}
