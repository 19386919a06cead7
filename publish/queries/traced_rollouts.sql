-- Which rollouts become sessions: those of whole tasks first, in an order that favours none, because ids are hashes.
SELECT rollout_id
FROM outcomes
WHERE step_count > 0
ORDER BY tree_id, rollout_id
LIMIT $most
