-- The states of one tree with the shortest history that was computed, the most visited $limit of them. Parameters: $tree_id, $limit.
SELECT state_id, observation, visits, rollouts, mean, value, actions, ends, solved_ends, distance
FROM states
WHERE tree_id = $tree_id AND history = (SELECT min(history) FROM states)
ORDER BY visits DESC, state_id
LIMIT $limit
