-- Paths that do not lead without a gap from a child of the root to a node where rollouts ended.
WITH hops AS (
    SELECT path_id, tree_id, len(node_ids) AS length, unnest(node_ids) AS node_id, generate_subscripts(node_ids, 1) AS position FROM paths
)
SELECT DISTINCT hops.path_id FROM hops LEFT JOIN nodes USING (node_id)
LEFT JOIN hops AS before ON before.path_id = hops.path_id AND before.position = hops.position - 1
WHERE nodes.node_id IS NULL OR nodes.tree_id <> hops.tree_id OR nodes.depth <> hops.position
    OR (hops.position > 1 AND nodes.parent_id IS DISTINCT FROM before.node_id) OR (hops.position = hops.length AND nodes.ends = 0)
ORDER BY hops.path_id
