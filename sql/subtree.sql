-- A node and all nodes below it. Parameters: $node_id.
WITH RECURSIVE tree AS MATERIALIZED (
    SELECT * FROM nodes WHERE tree_id = (SELECT tree_id FROM nodes WHERE node_id = $node_id)
),
subtree AS (
    SELECT tree.* FROM tree WHERE node_id = $node_id
    UNION ALL
    SELECT tree.* FROM tree JOIN subtree ON tree.parent_id = subtree.node_id
)
SELECT depth, node_id, parent_id, state, action, visits, CASE WHEN scored_visits > 0 THEN score_sum / scored_visits END AS mean_score, ends
FROM subtree
ORDER BY depth, parent_id, node_id
