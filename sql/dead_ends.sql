-- States that at least two attempts left without solving the task, from which no attempt at it ever did: where things are already lost.
SELECT o.environment, o.task_id, s.state_id, s.rollouts, s.mean, s.observation
FROM states AS s JOIN (SELECT DISTINCT tree_id, environment, task_id FROM outcomes) AS o USING (tree_id)
WHERE s.distance IS NULL AND s.rollouts > 1 AND s.history = '0'
ORDER BY s.rollouts DESC, s.mean, s.state_id
