-- Nodes whose action the environment rejected in at least one rollout.
SELECT DISTINCT node_id
FROM steps
JOIN step_nodes USING (rollout_id, step)
WHERE valid IS FALSE
ORDER BY node_id
