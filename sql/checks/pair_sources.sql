-- Pairs whose rollouts do not exist, or do not pass through the nodes that the pair names.
SELECT pair_id FROM pairs
WHERE NOT EXISTS (SELECT 1 FROM step_nodes WHERE step_nodes.rollout_id = chosen_rollout_id AND step_nodes.node_id = chosen_node_id)
    OR NOT EXISTS (SELECT 1 FROM step_nodes WHERE step_nodes.rollout_id = rejected_rollout_id AND step_nodes.node_id = rejected_node_id)
ORDER BY pair_id
