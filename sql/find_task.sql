-- The tasks that $task may mean, the closest first: with this very name, with a name that begins so, or with a similar spelling.
SELECT
    tree_id,
    min(environment) AS environment,
    min(task_id) AS task_id,
    bool_or(task_id = $task OR tree_id = $task) AS exact,
    bool_or(starts_with(task_id, $task) OR starts_with(tree_id, $task)) AS prefix,
    max(jaro_winkler_similarity(task_id, $task)) AS likeness
FROM rollouts
GROUP BY tree_id
ORDER BY exact DESC, prefix DESC, likeness DESC, tree_id
LIMIT 20
