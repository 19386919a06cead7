-- A tree's paths, best first, where nothing has been replayed. Parameters: $tree_id.
SELECT rank, node_ids, value, support, NULL AS replayed, NULL AS replay_score
FROM paths
WHERE tree_id = $tree_id
ORDER BY rank, path_id
