-- The node of each step of a tree's rollouts, with the step's own text where it differs from the node's. Parameters: $tree_id.
SELECT rollout_id, node_id, similarity, observation, thought
FROM step_nodes
WHERE tree_id = $tree_id
ORDER BY rollout_id, step
