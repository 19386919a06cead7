-- Edges that do not match their child node: every node but the root has exactly one edge, with its action, visits and scores.
SELECT coalesce(edges.tree_id, nodes.tree_id) AS tree_id, coalesce(edges.child_id, nodes.node_id) AS child_id
FROM edges FULL JOIN (SELECT * FROM nodes WHERE parent_id IS NOT NULL) AS nodes ON edges.child_id = nodes.node_id
WHERE edges.child_id IS NULL OR nodes.node_id IS NULL OR edges.tree_id <> nodes.tree_id OR edges.parent_id <> nodes.parent_id OR edges.action <> nodes.action
    OR edges.traversals <> nodes.visits OR edges.scored_traversals <> nodes.scored_visits OR edges.score_sum <> nodes.score_sum
ORDER BY tree_id, child_id
