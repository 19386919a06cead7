-- For each failed attempt, its first step in a state from which no attempt at the task reached a solved end: where it was lost.
WITH lost AS (
    SELECT c.rollout_id, min(c.step) AS step
    FROM step_credits AS c JOIN states AS s USING (state_id) JOIN outcomes AS o ON o.rollout_id = c.rollout_id
    WHERE s.distance IS NULL AND s.history = '0' AND NOT o.solved
    GROUP BY c.rollout_id
)
SELECT o.environment, o.task_id, o.agent, o.model, rollout_id, lost.step, o.step_count, o.score, steps.observation, steps.action
FROM lost JOIN outcomes AS o USING (rollout_id) JOIN steps USING (rollout_id, step)
ORDER BY o.environment, o.task_id, rollout_id
