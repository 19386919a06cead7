-- All nodes of one tree, from the root down. Parameters: $tree_id.
SELECT
    node_id, parent_id, depth, state, observation, thought, action,
    visits, scored_visits, score_sum, ends, scored_ends, end_score_sum
FROM nodes
WHERE tree_id = $tree_id
ORDER BY depth, node_id
