-- Steps that cannot be rebuilt word for word from nodes and step_nodes.
SELECT rollout_id, step, node_id
FROM steps JOIN step_nodes USING (rollout_id, step) JOIN nodes USING (node_id)
WHERE coalesce(step_nodes.observation, nodes.observation) <> steps.observation OR coalesce(step_nodes.thought, nodes.thought) <> steps.thought
    OR coalesce(step_nodes.action, nodes.action) <> steps.action
ORDER BY rollout_id, step
