-- A credit belongs to a step of a rollout with a score.
SELECT c.rollout_id, c.step, c.method
FROM step_credits AS c LEFT JOIN steps AS s USING (rollout_id, step)
WHERE s.rollout_id IS NULL
