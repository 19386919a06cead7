-- Methods of step_credits whose states have one history. Parameter: $history.
SELECT DISTINCT method
FROM step_credits SEMI JOIN (SELECT state_id FROM states WHERE history = CAST($history AS VARCHAR)) USING (state_id)
ORDER BY method
