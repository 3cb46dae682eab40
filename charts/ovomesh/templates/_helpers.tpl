{{/* Labels of everything. Takes {root, name}. */}}
{{- define "ovomesh.labels" -}}
{{ include "ovomesh.selector" . }}
app.kubernetes.io/part-of: ovomesh
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* Labels by which pods are found; never to be changed. */}}
{{- define "ovomesh.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "ovomesh.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What every pod has beside its containers and volumes. Takes {root, name, grace, balanced}.
The drain, a margin to end in, and before both the time of preStop. */}}
{{- define "ovomesh.pod" -}}
terminationGracePeriodSeconds: {{ add .grace 5 (ternary .root.Values.leaveSeconds 0 (.balanced | default false)) }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "ovomesh.selector" . | nindent 8 }}
{{- end }}

{{/* What every container has beside its resources and mounts. Takes {root, name, port, grace, balanced}. */}}
{{- define "ovomesh.container" -}}
name: {{ .name }}
image: {{ include "ovomesh.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: ["/usr/local/bin/ovomesh-{{ .name }}"]
ports:
  - {name: grpc, containerPort: {{ .port }}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
startupProbe: {{- include "ovomesh.probe" (dict "root" .root "path" "/readyz") | nindent 2 }}
  periodSeconds: 1
  failureThreshold: 120
readinessProbe: {{- include "ovomesh.probe" (dict "root" .root "path" "/readyz") | nindent 2 }}
  periodSeconds: 1
  failureThreshold: 2
livenessProbe: {{- include "ovomesh.probe" (dict "root" .root "path" "/healthz") | nindent 2 }}
  periodSeconds: 10
  failureThreshold: 6
{{- /* Whoever balances the Service's address learns that this pod leaves while it still takes connections. */}}
{{- if .balanced }}
lifecycle: {preStop: {sleep: {seconds: {{ .root.Values.leaveSeconds }}}}}
{{- end }}
{{- end }}

{{/* A port that asks callers for certificates cannot be probed by HTTP. */}}
{{- define "ovomesh.probe" -}}
{{- if .root.Values.tls.secret -}}
tcpSocket: {port: grpc}
{{- else -}}
httpGet: {path: {{ .path }}, port: grpc}
{{- end }}
{{- end }}

{{/* Environment of every container. Takes {root, port, grace}. */}}
{{- define "ovomesh.env" -}}
- {name: OVOMESH_LISTEN, value: "0.0.0.0:{{ .port }}"}
- {name: OVOMESH_LOG, value: {{ .root.Values.log | quote }}}
- {name: OVOMESH_LOG_FORMAT, value: json}
- {name: OVOMESH_DRAIN_SECONDS, value: "{{ .grace }}"}
- name: OVOMESH_INSTANCE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- with .root.Values.otlpEndpoint }}
- {name: OVOMESH_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- if .root.Values.tls.secret }}
- {name: OVOMESH_TLS_CERT, value: /tls/tls.crt}
- {name: OVOMESH_TLS_KEY, value: /tls/tls.key}
- {name: OVOMESH_TLS_CLIENT_CA, value: /tls/ca.crt}
{{- end }}
{{- end }}

{{/* Environment of those that call others. */}}
{{- define "ovomesh.env.client" -}}
{{- if .Values.tls.secret }}
- {name: OVOMESH_CA, value: /tls/ca.crt}
- {name: OVOMESH_CLIENT_CERT, value: /tls/tls.crt}
- {name: OVOMESH_CLIENT_KEY, value: /tls/tls.key}
- {name: OVOMESH_SERVER_NAME, value: {{ .Values.tls.serverName }}}
{{- end }}
{{- end }}

{{- define "ovomesh.tls.mount" -}}
{{- if .Values.tls.secret }}
- {name: tls, mountPath: /tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "ovomesh.tls.volume" -}}
{{- if .Values.tls.secret }}
- {name: tls, secret: {secretName: {{ .Values.tls.secret }}}}
{{- end }}
{{- end }}

{{/* A disruption budget: one at a time. Takes {root, name}. */}}
{{- define "ovomesh.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "ovomesh.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "ovomesh.selector" . | nindent 6 }}
{{- end }}

{{/* Scaling by CPU. Takes {root, name, values}. */}}
{{- define "ovomesh.hpa" -}}
{{- if .values.maxReplicas }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "ovomesh.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .name }}}
  minReplicas: {{ .values.replicas }}
  maxReplicas: {{ max .values.replicas .values.maxReplicas }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}
{{- end }}
{{- end }}
