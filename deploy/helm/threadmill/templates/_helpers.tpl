{{- define "threadmill.name" -}}{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}{{- end }}

{{- define "threadmill.full" -}}
{{- $name := include "threadmill.name" . -}}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "threadmill.labels" -}}
app.kubernetes.io/part-of: threadmill
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* what selects the pods of a service: (dict "root" $ "service" name) */}}
{{- define "threadmill.selector" -}}
app.kubernetes.io/name: {{ .service }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "threadmill.image" -}}
{{- $image := .root.Values.image -}}
{{- $digest := (index .root.Values.services .service).digest -}}
{{ $image.registry }}/{{ .service }}{{ if $digest }}@{{ $digest }}{{ else }}:{{ default .root.Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- define "threadmill.secret" -}}
{{- $given := (index .root.Values.services .service).existingSecret -}}
{{ default (printf "%s-%s" (include "threadmill.full" .root) .service) $given }}
{{- end }}

{{- define "threadmill.port" -}}
{{ get (dict "gateway" "8080" "run-orchestrator" "8081" "tool-code" "8082" "tool-retrieval" "8083") . }}
{{- end }}

{{/* where every service goes: Kafka's usual ports and its own, MongoDB, the collector of traces */}}
{{- define "threadmill.ports" -}}
{{- $ports := list "9092" "9093" "27017" -}}
{{- range splitList "," .Values.kafka.bootstrap }}{{ $ports = append $ports (splitList ":" (trim .) | last) }}{{ end -}}
{{- with .Values.traces.url -}}
{{- $url := urlParse . -}}
{{- $own := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- $ports = append $ports (default (get (dict "http" "80" "https" "443") $url.scheme) $own) -}}
{{- end -}}
{{- range $ports | uniq }}
- port: {{ . }}
{{- end }}
{{- end }}

{{- define "threadmill.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "threadmill.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
