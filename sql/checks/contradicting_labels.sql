-- Equal steps after equal prompts of one tree whose labels contradict each other.
-- Hashes of the texts are grouped, not the texts, so that memory stays small; equal hashes are then compared word for word.
WITH suspects AS (
    SELECT tree_id FROM step_labels
    GROUP BY tree_id, hash(prompt, completion) HAVING count(DISTINCT label) > 1
)
SELECT tree_id, min(node_id) AS node_id, max(node_id) AS other_node_id FROM step_labels SEMI JOIN suspects USING (tree_id)
GROUP BY tree_id, prompt, completion HAVING count(DISTINCT label) > 1
ORDER BY tree_id, node_id
