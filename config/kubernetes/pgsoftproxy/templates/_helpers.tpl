{{- define "pgsoftproxy.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" (.Release.Name | trunc 38 | trimSuffix "-") .Chart.Name }}
{{- end }}
{{- end }}

{{- define "pgsoftproxy.selector" -}}
app.kubernetes.io/name: pgsoftproxy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pgsoftproxy.labels" -}}
{{ include "pgsoftproxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
