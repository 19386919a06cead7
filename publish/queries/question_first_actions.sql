-- Which first actions decide a task?
SELECT (SELECT min(task_id) FROM rollouts WHERE rollouts.tree_id = nodes.tree_id) AS task_id,
    arg_max(action, score_sum / scored_visits) AS best_first_action, max(score_sum / scored_visits) AS its_mean,
    arg_min(action, score_sum / scored_visits) AS worst_first_action, min(score_sum / scored_visits) AS the_worst_mean
FROM nodes
WHERE depth = 1 AND scored_visits > 0
GROUP BY tree_id
HAVING its_mean > the_worst_mean
ORDER BY its_mean - the_worst_mean DESC, task_id, tree_id
LIMIT 5
