-- Siblings of one state with the same observation and action, which would be one node.
SELECT parent_id, state, min(node_id) AS node_id, max(node_id) AS other_node_id FROM nodes WHERE parent_id IS NOT NULL
GROUP BY parent_id, state, observation, action HAVING count(*) > 1
ORDER BY parent_id, state, node_id
