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

{{- /* Where the release works, on cluster-scoped objects, whatever they are called: refuse-other-releases.yaml looks for it. */}}
{{- define "trackdown.namespacesAnnotation" -}}
trackdown.dev/namespaces: {{ .Values.watchNamespaces | default (list "*") | join "," | quote }}
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

{{- /* A repository in the registry that global.imageRegistry names, or in its own. Takes root and repository. */}}
{{- define "trackdown.repository" -}}
{{- with (.root.Values.global | default dict).imageRegistry }}
{{- printf "%s/%s" . (regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $.repository "") }}
{{- else }}
{{- .repository }}
{{- end }}
{{- end }}

{{- define "trackdown.image" -}}
{{- $repository := include "trackdown.repository" (dict "root" . "repository" .Values.image.repository) }}
{{- $image := printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $image .Values.image.digest }}
{{- else }}
{{- $image }}
{{- end }}
{{- end }}

{{- /* The chart's and the global ones, which may be names alone. */}}
{{- define "trackdown.imagePullSecrets" -}}
{{- $secrets := .Values.imagePullSecrets }}
{{- range (.Values.global | default dict).imagePullSecrets }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with $secrets | uniq -}}
imagePullSecrets:
{{ toYaml . }}
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
{{- /* A Rollout of Argo Rollouts: which template is promoted, and whether its pods run. */}}
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get]
{{- /* What the kubelet says of a pod that keeps a rollout waiting. */}}
- apiGroups: [""]
  resources: [events]
  verbs: [list]
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

{{- /* The admission policies that the values switch on: what follows the release in the name -> template of the spec. */}}
{{- define "trackdown.policies" -}}
{{- $v := .Values.admissionPolicy -}}
{{- $workloads := and $v.enabled $v.workloads -}}
{{- dict
  "who-may-deploy" (ternary "trackdown.ticketsPolicy" "" (and $v.enabled $v.tickets))
  "records" (ternary "trackdown.recordsPolicy" "" (and $v.enabled $v.records))
  "workloads" (ternary "trackdown.workloadsPolicy" "" $workloads)
  "pods" (ternary "trackdown.podsPolicy" "" $workloads)
  "jobs" (ternary "trackdown.jobsPolicy" "" (and $workloads .Values.checks.jobs.enabled))
  | toYaml }}
{{- end }}

{{- /* One of these policies, and what puts it into force. Takes root and suffix. */}}
{{- define "trackdown.policyObjects" -}}
{{- $name := printf "%s-%s" (include "trackdown.clusterName" .root) .suffix }}
{{- with get (include "trackdown.policies" .root | fromYaml) .suffix }}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name }}
  labels:
    {{- include "trackdown.labels" $.root | nindent 4 }}
  annotations:
    {{- include "trackdown.namespacesAnnotation" $.root | nindent 4 }}
spec:
  {{- include . $.root | nindent 2 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels:
    {{- include "trackdown.labels" $.root | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny]
{{- end }}
{{- end }}

{{- /* What a policy decides, as 32 digits. Takes the spec as YAML. The operator computes the same from the object in the cluster:
change both, or neither. */}}
{{- define "trackdown.policyDigest" -}}
{{- $spec := fromYaml . }}
{{- with $spec.Error }}
{{- fail . }}
{{- end }}
{{- $lines := list (printf "failurePolicy %s" $spec.failurePolicy) }}
{{- range $spec.matchConstraints.resourceRules }}
{{- $lines = append $lines (printf "rule %s %s %s %s" (join "," .apiGroups) (join "," .apiVersions) (join "," .operations) (join "," .resources)) }}
{{- end }}
{{- range $spec.matchConditions }}
{{- $lines = append $lines (printf "matchCondition %s %s" .name .expression) }}
{{- end }}
{{- range $spec.variables }}
{{- $lines = append $lines (printf "variable %s %s" .name .expression) }}
{{- end }}
{{- range $spec.validations }}
{{- $lines = append $lines (printf "validation %s" .expression) }}
{{- end }}
{{- printf "%s\n" (join "\n" $lines) | sha256sum | trunc 32 }}
{{- end }}

{{- /* The policies the operator looks after: name -> digest. None in the namespaced mode: they are cluster-scoped, and to read them
would take a ClusterRole. */}}
{{- define "trackdown.requiredPolicies" -}}
{{- $required := dict }}
{{- if not .Values.watchNamespaces }}
{{- range $suffix, $template := include "trackdown.policies" . | fromYaml }}
{{- if $template }}
{{- $_ := set $required (printf "%s-%s" (include "trackdown.clusterName" $) $suffix) (include "trackdown.policyDigest" (include $template $)) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $required }}
{{- end }}
