-- Argo CD health of a Deployment record (trackdown.dev), for those who show records in an Application.

local function isTrue(condition)
  return condition ~= nil and condition.status == "True"
end

local status = obj.status
if status == nil or status.observedGeneration == nil
    or tonumber(status.observedGeneration) ~= tonumber(obj.metadata.generation) then
  return {status = "Progressing", message = "waiting for Trackdown to start"}
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

if isTrue(conditions.Reconciling) then
  return {status = "Progressing", message = conditions.Reconciling.message}
end
if isTrue(conditions.Stalled) then
  return {status = "Degraded", message = conditions.Stalled.message}
end

local succeeded = conditions.Succeeded
if succeeded == nil or succeeded.status == "Unknown" then
  return {status = "Progressing", message = succeeded and succeeded.message or "the rollout has not ended"}
end
-- False without Stalled ended on purpose (superseded, aborted): nothing is broken.
return {status = "Healthy", message = succeeded.reason .. ": " .. succeeded.message}
