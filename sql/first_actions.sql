-- Which first actions decide a task: the best and the worst of each task, the widest difference first.
SELECT roots.tree_id, count(*) AS first_actions, max(firsts.score_sum / firsts.scored_visits) AS best_mean,
    min(firsts.score_sum / firsts.scored_visits) AS worst_mean, arg_min(firsts.action, firsts.score_sum / firsts.scored_visits) AS worst_action,
    arg_max(firsts.action, firsts.score_sum / firsts.scored_visits) AS best_action
FROM nodes AS roots JOIN nodes AS firsts ON firsts.parent_id = roots.node_id
WHERE roots.parent_id IS NULL AND firsts.scored_visits > 0
GROUP BY roots.tree_id
ORDER BY best_mean - worst_mean DESC, roots.tree_id
