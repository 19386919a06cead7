-- Nodes without values, and values without a node: the trees changed after search.
SELECT coalesce(nodes.node_id, node_values.node_id) AS node_id FROM nodes FULL JOIN node_values USING (node_id)
WHERE nodes.node_id IS NULL OR node_values.node_id IS NULL
ORDER BY node_id
