-- A rollout that is easy to read: solved, with the best score, and short.
WITH chosen AS (
    SELECT rollout_id, environment, task_id, instruction, agent, model, score
    FROM outcomes
    WHERE step_count > 0
    ORDER BY solved DESC, step_count < 2, score DESC NULLS LAST, step_count, rollout_id
    LIMIT 1
)
SELECT chosen.*, step, observation, thought, action
FROM chosen
JOIN (SELECT * FROM steps WHERE rollout_id IN (SELECT rollout_id FROM chosen)) USING (rollout_id)
ORDER BY step
