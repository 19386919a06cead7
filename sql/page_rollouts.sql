-- The rollouts of one tree, in the order in which they were merged into it. Parameters: $tree_id.
SELECT rollout_id, attempt, agent, model, score, success, end_reason, end_observation, instruction, step_count
FROM outcomes
WHERE tree_id = $tree_id
ORDER BY attempt, rollout_id
