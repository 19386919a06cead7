-- The path to a node, one row per step from the root down. Parameters: $node_id.
WITH RECURSIVE tree AS MATERIALIZED (
    SELECT * FROM nodes WHERE tree_id = (SELECT tree_id FROM nodes WHERE node_id = $node_id)
),
path AS (
    SELECT tree.* FROM tree WHERE node_id = $node_id
    UNION ALL
    SELECT tree.* FROM tree JOIN path ON tree.node_id = path.parent_id
)
SELECT depth, node_id, observation, thought, action, visits, CASE WHEN scored_visits > 0 THEN score_sum / scored_visits END AS mean_score, ends
FROM path
ORDER BY depth, node_id
