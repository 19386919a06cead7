-- Nodes to branch from: reached by several rollouts and least certain in value, the widest interval first.
SELECT tree_id, node_id, node_values.high - node_values.low AS priority
FROM node_values
JOIN (SELECT node_id, visits AS rollouts FROM nodes WHERE visits > ends AND visits > 1) AS inner_nodes USING (node_id)
SEMI JOIN (SELECT tree_id FROM rollouts WHERE environment = $environment AND split = $split) USING (tree_id)
WHERE node_values.high IS NOT NULL
ORDER BY priority DESC, inner_nodes.rollouts DESC, tree_id, node_id
