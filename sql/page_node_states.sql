-- The state in which the action of each node of one tree was taken, with the shortest history that was computed. Parameters: $tree_id.
SELECT DISTINCT node_id, state_id
FROM step_nodes JOIN step_credits USING (rollout_id, step)
WHERE step_nodes.tree_id = $tree_id AND state_id IN (SELECT state_id FROM states WHERE tree_id = $tree_id AND history = (SELECT min(history) FROM states))
ORDER BY node_id, state_id
