{{- /* Every pod exposes the same numbers about tickets, so "max" takes one of them; counters of what a pod did are summed. */}}
{{- define "trackdown.alerts" }}
- alert: TrackdownDown
  expr: absent(up{ {{- .sel -}} } == 1)
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: Trackdown is not running
    description: Prometheus reaches no Trackdown pod. Nothing is rolled out, watched or rolled back.
{{- if .leaderElection }}
- alert: TrackdownNoLeader
  expr: max(trackdown_leader{ {{- .sel -}} }) == 0
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: No Trackdown pod holds the lease
    description: Trackdown runs, but no pod acts. Nothing is rolled out, watched or rolled back.
{{- end }}
- alert: TrackdownPolicyMissing
  expr: max(trackdown_admission_policies_in_force{ {{- .sel -}} }) == 0
  for: 1m
  labels: {severity: critical}
  annotations:
    summary: An admission policy of Trackdown is not in force
    description: A policy that the chart installed, or its binding, is missing or was changed. Nothing new starts. What that policy judges, tickets that are made ready say, is judged by nobody meanwhile.
- alert: TrackdownTicketStuckInQA
  expr: max(trackdown_tickets_stuck{state="ready_for_qa",{{ .sel }}}) > 0
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: Tickets wait for QA
    description: '{{ "{{ $value }}" }} ticket(s) have been ready_for_qa for longer than 24 hours.'
- alert: TrackdownAutomationDisabled
  expr: max(trackdown_tickets_stalled{ {{- .sel -}} }) > 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: Automation gave up on tickets
    description: '{{ "{{ $value }}" }} ticket(s) failed as often as they may and wait for a person.'
- alert: TrackdownDeploymentBacklog
  expr: max(trackdown_tickets{state="ready_for_deployment",{{ .sel }}}) > {{ .v.backlogTickets }}
  for: 1h
  labels: {severity: warning}
  annotations:
    summary: Tickets pile up before deployment
    description: '{{ "{{ $value }}" }} tickets are ready_for_deployment and not deployed.'
- alert: TrackdownManyBlocked
  expr: max(trackdown_tickets_blocked{ {{- .sel -}} }) > {{ .v.blockedTickets }}
  for: 30m
  labels: {severity: warning}
  annotations:
    summary: Many tickets are blocked
    description: '{{ "{{ $value }}" }} tickets are blocked.'
- alert: TrackdownStaleMetrics
  expr: time() - max(trackdown_last_update_timestamp_seconds{ {{- .sel -}} }) > {{ .v.staleSeconds }}
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: Trackdown's numbers are stale
    description: The ticket metrics were last computed {{ "{{ $value | humanizeDuration }}" }} ago. The other alerts may be wrong.
- alert: TrackdownReconcileErrors
  expr: |-
    sum(rate(trackdown_reconcile_total{outcome="error",{{ .sel }}}[10m]))
    / sum(rate(trackdown_reconcile_total{ {{- .sel -}} }[10m])) > {{ .v.reconcileErrorRatio }}
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: Trackdown's reconciles fail
    description: '{{ "{{ $value | humanizePercentage }}" }} of the reconciles of the last 10 minutes failed.'
- alert: TrackdownRolloutsFailing
  expr: |-
    sum(increase(trackdown_rollouts_total{result=~"RolledBack|RolloutFailed|RollbackFailed|Contested|Rejected",{{ .sel }}}[1h]))
    >= {{ .v.failedRollouts }}
  labels: {severity: warning}
  annotations:
    summary: Rollouts fail
    description: '{{ "{{ $value | humanize }}" }} rollouts failed within the last hour.'
{{- end }}
