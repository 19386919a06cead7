-- The score of each model on each task with each seed; of several attempts the one with the best score counts. Parameters: $best_of.
WITH attempts AS (
    SELECT
        environment, split, coalesce(model, agent) AS model, task_id, coalesce(TRY_CAST(json_extract(sampling, '$.seed') AS BIGINT), 0) AS seed,
        attempt, rollout_id, coalesce(score, 0) AS reward, solved AS success, step_count,
        row_number() OVER (
            PARTITION BY environment, split, coalesce(model, agent), task_id, coalesce(TRY_CAST(json_extract(sampling, '$.seed') AS BIGINT), 0)
            ORDER BY coalesce(score, 0) DESC, attempt, rollout_id
        ) AS place
    FROM outcomes
    WHERE attempt < CAST($best_of AS BIGINT)
),
invalid AS (SELECT rollout_id, count(*) AS invalid_actions FROM steps WHERE valid = false GROUP BY rollout_id)
SELECT
    environment, split, model, task_id, seed, reward, CAST(success AS DOUBLE) AS success, CAST(step_count AS DOUBLE) AS steps,
    CAST(coalesce(invalid_actions, 0) AS DOUBLE) AS invalid_actions
FROM attempts LEFT JOIN invalid USING (rollout_id)
WHERE place = 1
ORDER BY environment, split, model, task_id, seed
