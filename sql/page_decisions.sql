-- The $limit divergences of the whole dataset whose difference is best supported: the spread, times the square root of n·m / (n + m) for n and m
-- scored rollouts on its two sides. Parameters: $limit.
SELECT tree_id, depth, spread, best_id, best_mean, best_rollouts, best_action[:200] AS best_action, worst_mean, worst_rollouts, worst_action[:200] AS worst_action
FROM decisions
WHERE is_divergence
ORDER BY spread * sqrt(best_rollouts * worst_rollouts / (best_rollouts + worst_rollouts)) DESC, tree_id, node_id, state
LIMIT $limit
