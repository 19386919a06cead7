-- The whole dataset in one row: tasks, rollouts, scores and steps.
SELECT count(DISTINCT tree_id) AS tasks, count(*) AS rollouts, count(score) AS scored, avg(score) AS mean_score,
    count(*) FILTER (solved) AS solved, avg(step_count) AS steps_per_rollout, max(step_count) AS most_steps
FROM outcomes
