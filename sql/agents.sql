-- Agents compared, over the tasks that all of them tried.
WITH tried AS (
    SELECT tree_id FROM rollouts GROUP BY tree_id
    HAVING count(DISTINCT (agent, model)) = (SELECT count(DISTINCT (agent, model)) FROM rollouts)
)
SELECT agent, model, count(DISTINCT tree_id) AS tasks, count(*) AS rollouts, avg(score) AS mean_score, avg(CAST(solved AS INTEGER)) AS share_solved,
    avg(step_count) AS steps_per_rollout
FROM outcomes SEMI JOIN tried USING (tree_id)
GROUP BY agent, model
ORDER BY mean_score DESC NULLS LAST, agent, model
