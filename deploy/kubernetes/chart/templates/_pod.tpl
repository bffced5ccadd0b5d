{{- /* The settings of every pod; deploy/kubernetes/hardened explains them. */ -}}
{{- define "loadtest.hardened" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- if not .Values.openshift }}
  runAsUser: 10001
  fsGroup: 10001
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ . | quote }}}
  {{- end }}
{{- end }}
{{- end }}

{{- define "loadtest.closed" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "loadtest.image" -}}
{{ printf "%s:%s" .Values.image.name (.Values.image.tag | default .Chart.AppVersion) | quote }}
{{- end }}

{{- /* A hash of their content in their names, so that changed settings create new pods. */ -}}
{{- define "loadtest.settings" -}}
loadtest-settings-{{ .Values.settings | toJson | sha256sum | trunc 10 }}
{{- end }}

{{- define "loadtest.scenarios" -}}
loadtest-scenarios-{{ .Values.scenarios | toJson | sha256sum | trunc 10 }}
{{- end }}

{{- define "loadtest.volumes" -}}
- {name: tmp, emptyDir: {}}
- {name: scenarios, configMap: {name: {{ include "loadtest.scenarios" . }}}}
- {name: secrets, secret: {secretName: loadtest, defaultMode: 0440}}
{{- end }}

{{- define "loadtest.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: scenarios, mountPath: /app/scenarios, readOnly: true}
- {name: secrets, mountPath: /run/secrets/loadtest, readOnly: true}
{{- end }}
