-- Nodes that cannot be reached from a root, so they are below a cycle or an orphan.
WITH RECURSIVE reached AS (
    SELECT tree_id, node_id FROM nodes WHERE parent_id IS NULL
    UNION ALL
    SELECT nodes.tree_id, nodes.node_id FROM nodes JOIN reached ON nodes.parent_id = reached.node_id AND nodes.tree_id = reached.tree_id
    WHERE nodes.depth > 0
)
SELECT tree_id, node_id FROM nodes ANTI JOIN reached USING (tree_id, node_id)
ORDER BY tree_id, node_id
