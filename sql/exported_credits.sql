-- The credits of each rollout by one method, as lists over its steps, in the order of trajectories.sql.
SELECT c.rollout_id, c.method,
    list(c.state_id ORDER BY c.step) AS states, list(c.return_to_go ORDER BY c.step) AS returns,
    list(c.advantage ORDER BY c.step) AS advantages, list(c.weight ORDER BY c.step) AS weights
FROM step_credits AS c JOIN outcomes AS o USING (rollout_id)
GROUP BY o.environment, o.task_id, o.attempt, c.rollout_id, c.method
ORDER BY o.environment, o.task_id, o.attempt, c.rollout_id, c.method
