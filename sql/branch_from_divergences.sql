-- Nodes to branch from: where rollouts diverge and their outcomes differ, the widest difference first.
WITH spreads AS (
    SELECT tree_id, parent_id AS node_id, state, max(score_sum / scored_visits) - min(score_sum / scored_visits) AS spread
    FROM nodes
    WHERE parent_id IS NOT NULL AND scored_visits > 0
    GROUP BY tree_id, parent_id, state
    HAVING count(*) > 1
)
SELECT tree_id, node_id, max(spread) AS priority
FROM spreads
SEMI JOIN (SELECT tree_id FROM rollouts WHERE environment = $environment AND split = $split) USING (tree_id)
GROUP BY tree_id, node_id
HAVING max(spread) > 0
ORDER BY priority DESC, tree_id, node_id
