-- Scores outside 0 to 1, and sums of scores greater than the number of rollouts.
SELECT 'rollouts' AS found_in, rollout_id AS id, score FROM rollouts WHERE NOT (score BETWEEN 0 AND 1)
UNION ALL
SELECT 'nodes', node_id, score_sum FROM nodes WHERE score_sum < 0 OR score_sum > scored_visits + 1e-9 OR end_score_sum > scored_ends + 1e-9
ORDER BY found_in, id
