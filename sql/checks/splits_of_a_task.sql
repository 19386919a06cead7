-- Tasks that are in more than one split.
SELECT tree_id, environment, task_id, list_sort(list(DISTINCT split)) AS splits FROM rollouts GROUP BY tree_id, environment, task_id HAVING count(DISTINCT split) > 1
ORDER BY tree_id, environment, task_id
