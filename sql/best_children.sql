-- The children of a node, the best first. Parameters: $node_id.
SELECT state, action, node_id, visits, CASE WHEN scored_visits > 0 THEN score_sum / scored_visits END AS mean_score, ends
FROM nodes
WHERE parent_id = $node_id
ORDER BY mean_score DESC NULLS LAST, visits DESC, node_id
