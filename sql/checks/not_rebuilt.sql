-- Steps that cannot be rebuilt word for word from nodes and step_nodes.
-- Hashes of the texts are joined, not the texts, so that memory stays small.
WITH said AS (
    SELECT rollout_id, step, hash(observation) AS observation, hash(thought) AS thought, hash(action) AS action FROM steps
),
merged AS (
    SELECT node_id, hash(observation) AS observation, hash(thought) AS thought, hash(action) AS action FROM nodes
),
own AS (
    SELECT rollout_id, step, node_id, if(observation IS NOT NULL, hash(observation), NULL) AS observation,
        if(thought IS NOT NULL, hash(thought), NULL) AS thought, if(action IS NOT NULL, hash(action), NULL) AS action
    FROM step_nodes
)
SELECT rollout_id, step, node_id
FROM said JOIN own USING (rollout_id, step) JOIN merged USING (node_id)
WHERE coalesce(own.observation, merged.observation) <> said.observation OR coalesce(own.thought, merged.thought) <> said.thought
    OR coalesce(own.action, merged.action) <> said.action
ORDER BY rollout_id, step
