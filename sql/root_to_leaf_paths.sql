-- Every path from a root to a node where rollouts ended, as a list of actions, with the mean score of those rollouts.
WITH RECURSIVE slim AS MATERIALIZED (
    SELECT tree_id, node_id, parent_id, action, ends, scored_ends, end_score_sum FROM nodes
),
paths AS (
    SELECT tree_id, node_id, ends, scored_ends, end_score_sum, CAST([] AS VARCHAR[]) AS actions FROM slim WHERE parent_id IS NULL
    UNION ALL
    SELECT slim.tree_id, slim.node_id, slim.ends, slim.scored_ends, slim.end_score_sum, list_append(paths.actions, slim.action)
    FROM slim JOIN paths ON slim.parent_id = paths.node_id
)
SELECT tree_id, node_id, actions, ends, CASE WHEN scored_ends > 0 THEN end_score_sum / scored_ends END AS mean_score
FROM paths
WHERE ends > 0
ORDER BY tree_id, node_id
