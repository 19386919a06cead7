-- Steps that belong to no node, or to a node of another tree or depth, and step_nodes rows without a step.
SELECT coalesce(steps.rollout_id, step_nodes.rollout_id) AS rollout_id, coalesce(steps.step, step_nodes.step) AS step, step_nodes.node_id
FROM (SELECT rollout_id, step FROM steps SEMI JOIN (SELECT rollout_id FROM rollouts WHERE duplicate_of IS NULL) AS rollouts USING (rollout_id)) AS steps
FULL JOIN step_nodes USING (rollout_id, step) LEFT JOIN nodes USING (node_id)
WHERE steps.rollout_id IS NULL OR step_nodes.rollout_id IS NULL OR nodes.node_id IS NULL OR nodes.tree_id <> step_nodes.tree_id OR nodes.depth <> step_nodes.step + 1
ORDER BY rollout_id, step
