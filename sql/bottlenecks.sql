-- States that every solved attempt at a task went through: what must be reached.
WITH solved AS (
    SELECT tree_id, environment, task_id, rollout_id FROM outcomes WHERE solved
),
through AS (
    SELECT c.state_id, count(DISTINCT c.rollout_id) AS solved_rollouts
    FROM step_credits AS c JOIN solved USING (rollout_id)
    WHERE c.state_id IS NOT NULL
    GROUP BY c.state_id
),
tasks AS (
    SELECT tree_id, environment, task_id, count(*) AS solved_attempts FROM solved GROUP BY ALL
)
SELECT t.environment, t.task_id, s.state_id, s.distance, solved_attempts, s.rollouts, s.observation
FROM through JOIN states AS s USING (state_id) JOIN tasks AS t USING (tree_id)
WHERE solved_rollouts = solved_attempts AND solved_attempts > 1 AND s.history = '0'
ORDER BY t.environment, t.task_id, s.distance DESC, s.state_id
