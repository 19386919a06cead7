-- Why rollouts ended, and how well they did.
SELECT environment, agent, end_reason, count(*) AS rollouts, avg(score) AS mean_score, avg(CAST(solved AS INTEGER)) AS share_solved, avg(step_count) AS steps_per_rollout
FROM outcomes
GROUP BY environment, agent, end_reason
ORDER BY environment, agent, end_reason
