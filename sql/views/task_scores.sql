-- One row per task: its attempts, their scores, and how many of them solved it; `judged` of them have a score or a reported success.
SELECT
    tree_id,
    any_value(environment) AS environment,
    any_value(task_id) AS task_id,
    min(split) AS split,
    arg_min(instruction, (attempt, rollout_id)) AS instruction,
    count(*) AS attempts,
    count(score) AS scored,
    avg(score) AS mean_score,
    min(score) AS worst_score,
    max(score) AS best_score,
    count(*) FILTER (solved) AS solved,
    count(*) FILTER (judged) AS judged
FROM outcomes
GROUP BY tree_id
ORDER BY environment, task_id, tree_id
