-- The $limit pairs of one tree with the widest margins, and the number of all its pairs. Parameters: $tree_id, $limit.
SELECT
    pair_id, kind, node_id, chosen_node_id, rejected_node_id, chosen_rollout_id, rejected_rollout_id,
    chosen_score, rejected_score, margin, prompt, chosen, rejected, count(*) OVER () AS pair_count
FROM pairs
WHERE tree_id = $tree_id
ORDER BY margin DESC, pair_id
LIMIT $limit
