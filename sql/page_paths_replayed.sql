-- A tree's paths, best first, with their replays. Parameters: $tree_id.
SELECT paths.rank, paths.node_ids, paths.value, paths.support, replays.replayed, replays.replay_score
FROM paths
LEFT JOIN replays USING (path_id)
WHERE paths.tree_id = $tree_id
ORDER BY paths.rank, paths.path_id
