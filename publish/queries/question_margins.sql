-- Where are preferences strongest, and how deep in the task?
SELECT p.task_id, p.kind, n.depth, c.action AS chosen_action, r.action AS rejected_action, p.margin
FROM pairs AS p
JOIN nodes AS n ON n.node_id = p.node_id
JOIN nodes AS c ON c.node_id = p.chosen_node_id
JOIN nodes AS r ON r.node_id = p.rejected_node_id
ORDER BY p.margin DESC, p.pair_id
LIMIT 5
