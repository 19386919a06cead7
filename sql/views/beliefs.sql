-- What is known of the score that each node leads to: its mean over the scored rollouts that acted freely after the node (older files count all of
-- them), and the posterior: the mean and variance of these scores together with one failure and one success. Files without
-- squares count a graded score as a share of a success.
SELECT tree_id, node_id, parent_id, state, depth, action, rollouts, sums / nullif(rollouts, 0) AS mean_score, posterior,
    (squares + 1) / (rollouts + 2) - posterior ** 2 AS variance,
    sqrt(greatest((squares + 1) / (rollouts + 2) - posterior ** 2, 0) / (rollouts + 3)) AS standard_error
FROM (
    SELECT tree_id, node_id, parent_id, state, depth, action,
        coalesce(free_visits, scored_visits) AS rollouts, coalesce(free_score_sum, score_sum) AS sums,
        coalesce(free_score_squares, score_sum) AS squares, (sums + 1) / (rollouts + 2) AS posterior
    FROM nodes
)
