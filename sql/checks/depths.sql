-- Nodes whose depth is not their parent's plus one; where it always is, no node is below itself.
SELECT nodes.tree_id, nodes.node_id, nodes.depth, parents.depth AS parent_depth FROM nodes JOIN nodes AS parents ON parents.node_id = nodes.parent_id
WHERE nodes.depth <> parents.depth + 1
ORDER BY nodes.tree_id, nodes.node_id
