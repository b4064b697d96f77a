{{- define "openline.validate" -}}
{{- if and .Values.database.url .Values.database.existingSecret -}}
{{- fail "database: give url or existingSecret, not both" -}}
{{- end -}}
{{- if not (has .Values.agent.persistence.type (list "hostPath" "emptyDir")) -}}
{{- fail "agent.persistence.type: hostPath or emptyDir" -}}
{{- end -}}
{{- if not (has .Values.agent.hostAccess (list "none" "read" "full")) -}}
{{- fail "agent.hostAccess: none, read or full" -}}
{{- end -}}
{{- if or (hasKey .Values.agent.config "hostAccess") (hasKey .Values.agent.config "hostRoot") -}}
{{- fail "agent.config: set agent.hostAccess instead of hostAccess and hostRoot: the pod has to be made for it" -}}
{{- end -}}
{{- end -}}
