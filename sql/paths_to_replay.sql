-- Each path with its task, the observations of its rollouts after the last action, and the environment seed of the first of them, the
-- best path of each environment first.
WITH tasks AS (
    SELECT tree_id, min(environment) AS environment, min(task_id) AS task_id, min(environment_version) AS environment_version
    FROM rollouts
    GROUP BY tree_id
),
ends AS (
    SELECT
        behind.path_id,
        list(DISTINCT rollouts.end_observation ORDER BY rollouts.end_observation) FILTER (rollouts.end_observation <> '') AS end_observations,
        arg_min(coalesce(CAST(rollouts.sampling ->> 'environment_seed' AS INTEGER), rollouts.attempt), rollouts.rollout_id) AS environment_seed
    FROM (SELECT path_id, unnest(rollout_ids) AS rollout_id FROM paths) AS behind
    JOIN rollouts USING (rollout_id)
    GROUP BY behind.path_id
)
SELECT
    paths.path_id, paths.tree_id, tasks.environment, tasks.task_id, tasks.environment_version, paths.value,
    coalesce(ends.end_observations, []) AS end_observations, coalesce(ends.environment_seed, 0) AS environment_seed
FROM paths
JOIN tasks USING (tree_id)
LEFT JOIN ends USING (path_id)
ORDER BY tasks.environment, paths.rank, tasks.task_id, paths.path_id
