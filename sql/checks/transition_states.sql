-- A transition leads from a state to a state of the same task and history.
SELECT t.transition_id
FROM transitions AS t
LEFT JOIN states AS s ON s.state_id = t.state_id AND s.tree_id = t.tree_id AND s.history = t.history
LEFT JOIN states AS n ON n.state_id = t.next_state_id AND n.tree_id = t.tree_id AND n.history = t.history
WHERE s.state_id IS NULL OR (t.next_state_id IS NOT NULL AND n.state_id IS NULL)
