-- Nodes to branch from: the better and the worse side of each divergence whose scores are less than 1.96 standard errors apart, the widest
-- difference first.
SELECT tree_id, node_id, max(spread) AS priority
FROM (SELECT tree_id, unnest([best_id, worst_id]) AS node_id, spread FROM decisions WHERE is_divergence AND margin_z < 1.96)
SEMI JOIN (SELECT tree_id FROM rollouts WHERE environment = $environment AND split = $split) USING (tree_id)
GROUP BY tree_id, node_id
ORDER BY priority DESC, tree_id, node_id
