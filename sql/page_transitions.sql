-- The transitions between the states of one tree with the shortest history that was computed. Parameters: $tree_id.
SELECT state_id, action, next_state_id, visits, mean, advantage, ends, solved_ends
FROM transitions
WHERE tree_id = $tree_id AND history = (SELECT min(history) FROM transitions)
ORDER BY visits DESC, transition_id
