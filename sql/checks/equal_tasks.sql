-- Different tasks of one environment that share their name.
SELECT environment, task_id, min(tree_id) AS tree_id, max(tree_id) AS other_tree_id FROM rollouts
GROUP BY environment, task_id HAVING count(DISTINCT tree_id) > 1
ORDER BY environment, task_id
