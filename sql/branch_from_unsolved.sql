-- Nodes to branch from: in each tree without a success, the node whose rollouts earned most; the root if none earned anything.
-- Only rollouts in the tree count, so that the choice stays the same until it is built again.
WITH unsolved AS (
    SELECT tree_id
    FROM outcomes SEMI JOIN step_nodes USING (rollout_id)
    WHERE environment = $environment AND split = $split
    GROUP BY tree_id
    HAVING NOT bool_or(solved)
)
SELECT tree_id, node_id, 1.0 - score_sum / scored_visits AS priority
FROM nodes
SEMI JOIN unsolved USING (tree_id)
WHERE visits > ends AND scored_visits > 0
QUALIFY row_number() OVER (PARTITION BY tree_id ORDER BY score_sum / scored_visits DESC, depth, node_id) = 1
ORDER BY priority DESC, tree_id, node_id
