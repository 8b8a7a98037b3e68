{{- define "logging.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Of one component: (list . "kibana"). */ -}}
{{- define "logging.selectorLabels" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end -}}

{{- define "logging.labels" -}}
{{- $root := index . 0 -}}
{{ include "logging.selectorLabels" . }}
app.kubernetes.io/component: logging
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "logging.elasticsearch.host" -}}
{{- default (printf "%s-elasticsearch" (include "logging.fullname" .)) .Values.elasticsearch.host -}}
{{- end -}}

{{- define "logging.elasticsearch.url" -}}
http://{{ include "logging.elasticsearch.host" . }}:{{ .Values.elasticsearch.port }}{{ .Values.elasticsearch.path }}
{{- end -}}

{{- define "logging.image" -}}
{{ .repository }}:{{ .tag }}
{{- end -}}

{{- define "logging.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "logging.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "logging.unprivileged" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
{{- end -}}
