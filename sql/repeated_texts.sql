-- Pairs of observations after equal steps: how often these agree is the most that a merge can promise. Parameters: $pairs.
WITH seen AS (
    SELECT step_nodes.node_id, coalesce(after.observation, rollouts.end_observation) AS next_observation,
        row_number() OVER (PARTITION BY step_nodes.node_id ORDER BY step_nodes.rollout_id) AS place
    FROM step_nodes JOIN rollouts USING (rollout_id) LEFT JOIN steps AS after ON after.rollout_id = step_nodes.rollout_id AND after.step = step_nodes.step + 1
    WHERE step_nodes.step + 1 < rollouts.step_count OR rollouts.end_observation <> ''
)
SELECT a.next_observation AS a_next, b.next_observation AS b_next
FROM seen AS a JOIN seen AS b ON a.node_id = b.node_id AND b.place = a.place + 1
ORDER BY a.node_id, a.place
LIMIT CAST($pairs AS BIGINT)
