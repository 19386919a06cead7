-- Rollouts that repeat the same action at the same observation.
WITH repeated AS (
    SELECT rollout_id, observation, action, count(*) AS times FROM steps GROUP BY rollout_id, observation, action HAVING count(*) > 1
)
SELECT environment, agent, model, count(DISTINCT rollout_id) AS rollouts_with_loops, max(times) AS longest, avg(score) AS mean_score
FROM repeated JOIN outcomes USING (rollout_id)
GROUP BY environment, agent, model
ORDER BY environment, agent, model
