-- The mean score after each step of each task, per model, as in the paper's figure 3. Parameters: $tasks (the number of tasks).
WITH chosen AS (SELECT DISTINCT task_id FROM rollouts ORDER BY task_id LIMIT CAST($tasks AS BIGINT)),
earned AS (
    SELECT
        coalesce(model, agent) AS model, task_id, rollout_id, step + 1 AS step, step_count, score,
        sum(coalesce(reward, 0)) OVER (PARTITION BY rollout_id ORDER BY step) AS score_so_far
    FROM outcomes SEMI JOIN chosen USING (task_id) JOIN steps USING (rollout_id)
)
SELECT model, task_id, step, avg(CASE WHEN step = step_count THEN coalesce(score, 0) ELSE score_so_far END) AS score, count(*) AS rollouts
FROM earned
GROUP BY model, task_id, step
ORDER BY model, task_id, step
