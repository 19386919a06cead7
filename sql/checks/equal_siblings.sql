-- Siblings of one state with the same observation and action, which would be one node.
-- Hashes of the texts are grouped, not the texts, so that memory stays small; equal hashes are then compared word for word.
WITH siblings AS (
    SELECT parent_id, state FROM nodes WHERE parent_id IS NOT NULL GROUP BY parent_id, state HAVING count(*) > 1
),
suspects AS (
    SELECT parent_id, state FROM nodes SEMI JOIN siblings USING (parent_id, state)
    GROUP BY parent_id, state, hash(observation, action) HAVING count(*) > 1
)
SELECT parent_id, state, min(node_id) AS node_id, max(node_id) AS other_node_id FROM nodes SEMI JOIN suspects USING (parent_id, state)
GROUP BY parent_id, state, observation, action HAVING count(*) > 1
ORDER BY parent_id, state, node_id
