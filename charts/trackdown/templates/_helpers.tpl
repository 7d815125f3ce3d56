{{- define "trackdown.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Name of the namespaced objects. Leaves room for suffixes within 63 characters. */}}
{{- define "trackdown.fullname" -}}
{{- $name := include "trackdown.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Name of the cluster-scoped objects. Namespaced releases may share a release name, so theirs carries the namespace. */}}
{{- define "trackdown.clusterName" -}}
{{- if .Values.watchNamespaces }}
{{- printf "%s-%s" (include "trackdown.fullname" .) .Release.Namespace }}
{{- else }}
{{- include "trackdown.fullname" . }}
{{- end }}
{{- end }}

{{- define "trackdown.selectorLabels" -}}
app.kubernetes.io/name: {{ include "trackdown.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "trackdown.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "trackdown.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "trackdown.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "trackdown.fullname" .) }}
{{- else }}
{{- required "serviceAccount.name is required if serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* The operator as the API server sees it. */}}
{{- define "trackdown.username" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "trackdown.serviceAccountName" .) }}
{{- end }}

{{- define "trackdown.leaseName" -}}
{{- .Values.leaderElection.leaseName | default (include "trackdown.fullname" .) }}
{{- end }}

{{- define "trackdown.image" -}}
{{- $image := printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $image .Values.image.digest }}
{{- else }}
{{- $image }}
{{- end }}
{{- end }}

{{- /* All that the operator may do in a namespace it works in. */}}
{{- define "trackdown.operatorRules" -}}
- apiGroups: [trackdown.dev]
  resources: [tickets]
  verbs: [get, list, watch]
- apiGroups: [trackdown.dev]
  resources: [tickets/status]
  verbs: [update]
# delete: old records are pruned.
- apiGroups: [trackdown.dev]
  resources: [deployments]
  verbs: [get, list, watch, create, delete]
- apiGroups: [trackdown.dev]
  resources: [deployments/status]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, list, watch, patch]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [get, list, watch, patch]
# delete: a pod that is not ready blocks the rollback of a StatefulSet for ever.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
{{- if .Values.checks.jobs.enabled }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list, watch]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* Roles for people: name -> the role it is aggregated to, and its rules. */}}
{{- define "trackdown.userRoles" -}}
viewer:
  aggregateTo: view
  rules:
  - apiGroups: [trackdown.dev]
    resources: [tickets, deployments]
    verbs: [get, list, watch]
author:
  aggregateTo: edit
  rules:
  - apiGroups: [trackdown.dev]
    resources: [tickets]
    verbs: [get, list, watch, create, update, patch, delete]
deployer:
  rules:
  - apiGroups: [trackdown.dev]
    resources: [deployments]
    verbs: [deploy]
{{- end }}

{{- /* Limits an admission policy to the watched namespaces. The API server itself keeps this label of a namespace. */}}
{{- define "trackdown.namespaceSelector" -}}
{{- with .Values.watchNamespaces -}}
namespaceSelector:
  matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

{{- /* Other component than the operator's: its Service must not find the test pod. */}}
{{- define "trackdown.testLabels" -}}
app.kubernetes.io/name: {{ include "trackdown.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}
