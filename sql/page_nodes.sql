-- The $limit most visited nodes of one tree; no child is visited more often than its parent, so every node keeps its parent.
-- Parameters: $tree_id, $limit.
SELECT
    node_id, parent_id, state, observation, thought, action,
    visits, scored_visits, score_sum, ends, scored_ends, end_score_sum
FROM nodes
WHERE tree_id = $tree_id
ORDER BY visits DESC, depth, node_id
LIMIT $limit
