-- Where a pair comes from: its two nodes, and every rollout through each; `shown` marks the two rollouts whose text the pair contains.
-- Parameters: $pair_id.
SELECT
    pairs.pair_id,
    sides.side,
    nodes.node_id,
    nodes.depth,
    nodes.state,
    nodes.action,
    rollouts.rollout_id,
    rollouts.attempt,
    rollouts.agent,
    rollouts.model,
    rollouts.score,
    rollouts.source,
    rollouts.rollout_id = sides.rollout_id AS shown
FROM pairs
CROSS JOIN LATERAL (
    VALUES
        ('chosen', pairs.chosen_node_id, pairs.chosen_rollout_id),
        ('rejected', pairs.rejected_node_id, pairs.rejected_rollout_id)
) AS sides (side, node_id, rollout_id)
JOIN nodes ON nodes.node_id = sides.node_id
JOIN step_nodes ON step_nodes.node_id = nodes.node_id
JOIN outcomes AS rollouts ON rollouts.rollout_id = step_nodes.rollout_id
WHERE pairs.pair_id = $pair_id
ORDER BY sides.side, rollouts.attempt, rollouts.rollout_id
