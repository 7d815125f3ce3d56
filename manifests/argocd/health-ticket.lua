-- Argo CD health of a Ticket (trackdown.dev).
--
-- Waiting for people is Healthy, not Suspended: a sync with several waves or with hooks goes on only after Healthy (and ends
-- after Degraded), so a Suspended ticket would keep it running for ever.

local function isTrue(condition)
  return condition ~= nil and condition.status == "True"
end

local status = obj.status
if status == nil or status.observedGeneration == nil
    or tonumber(status.observedGeneration) ~= tonumber(obj.metadata.generation) then
  return {status = "Progressing", message = "waiting for Trackdown to look at the ticket"}
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

local message = status.state or ""
if status.message ~= nil and status.message ~= "" then
  message = message .. ": " .. status.message
end
return {status = "Healthy", message = message}
