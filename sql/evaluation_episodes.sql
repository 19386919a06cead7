-- The first task and seed at which a model cannot be scored: it has fewer than $best_of attempts, or the same attempt several times with
-- different settings (which would silently be scored as the best of several). Parameters: $best_of.
WITH episodes AS (
    SELECT
        environment, split, coalesce(model, agent) AS model, task_id, coalesce(TRY_CAST(json_extract(sampling, '$.seed') AS BIGINT), 0) AS seed,
        attempt, count(*) AS times
    FROM rollouts
    GROUP BY ALL
)
SELECT model, task_id, seed, count(*) FILTER (attempt < CAST($best_of AS BIGINT)) AS attempts, max(times) AS times
FROM episodes
GROUP BY environment, split, model, task_id, seed
HAVING attempts < CAST($best_of AS BIGINT) OR max(times) > 1
ORDER BY model, task_id, seed
LIMIT 1
