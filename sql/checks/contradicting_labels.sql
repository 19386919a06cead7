-- Equal steps after equal prompts of one tree whose labels contradict each other.
SELECT tree_id, min(node_id) AS node_id, max(node_id) AS other_node_id FROM step_labels
GROUP BY tree_id, prompt, completion HAVING count(DISTINCT label) > 1
ORDER BY tree_id, node_id
