-- What attempts had earned by each step, per model: rewards so far, and the score once an attempt has ended, which it keeps.
WITH earned AS (
    SELECT
        coalesce(model, agent) AS model, rollout_id, step + 1 AS step, step_count, score,
        least(1, greatest(0, sum(coalesce(reward, 0)) OVER (PARTITION BY rollout_id ORDER BY step))) AS so_far
    FROM outcomes JOIN steps USING (rollout_id)
    WHERE score IS NOT NULL
),
attempts AS (SELECT DISTINCT model, rollout_id, step_count, score FROM earned),
grid AS (SELECT model, rollout_id, step_count, score, unnest(range(0, (SELECT max(step_count) + 1 FROM attempts))) AS step FROM attempts),
filled AS (
    SELECT grid.model, grid.step, CASE WHEN grid.step >= grid.step_count THEN grid.score ELSE coalesce(earned.so_far, 0) END AS value
    FROM grid LEFT JOIN earned USING (rollout_id, step)
)
SELECT
    model, step, avg(value) AS score, count(*) AS rollouts,
    greatest(0, avg(value) - 1.96 * coalesce(stddev_samp(value), 0) / sqrt(count(*))) AS low,
    least(1, avg(value) + 1.96 * coalesce(stddev_samp(value), 0) / sqrt(count(*))) AS high
FROM filled
GROUP BY model, step
ORDER BY model, step
