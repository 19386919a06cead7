-- States in which more than one action was taken. `spread` is the distance between the best and the worst mean score of these actions
-- (NULL with fewer than two scored actions); a decision with a spread is a divergence. Rounding errors are not a spread.
-- `margin_z` is the difference between the two in standard errors, as in `pairs`.
WITH actions AS (
    SELECT tree_id, parent_id AS node_id, state, depth - 1 AS depth, action, node_id AS child_id, scored_visits, score_sum / nullif(scored_visits, 0) AS mean_score
    FROM nodes
    WHERE parent_id IS NOT NULL
),
choices AS (
    SELECT tree_id, node_id, state, min(depth) AS depth, count(*) AS alternatives,
        CASE WHEN count(mean_score) > 1 THEN max(mean_score) - min(mean_score) END AS spread,
        max(mean_score) AS best_mean, arg_max(action, (mean_score, child_id)) FILTER (mean_score IS NOT NULL) AS best_action,
        arg_max(child_id, (mean_score, child_id)) FILTER (mean_score IS NOT NULL) AS best_id,
        arg_max(scored_visits, (mean_score, child_id)) FILTER (mean_score IS NOT NULL) AS best_rollouts,
        min(mean_score) AS worst_mean, arg_min(action, (mean_score, child_id)) FILTER (mean_score IS NOT NULL) AS worst_action,
        arg_min(child_id, (mean_score, child_id)) FILTER (mean_score IS NOT NULL) AS worst_id,
        arg_min(scored_visits, (mean_score, child_id)) FILTER (mean_score IS NOT NULL) AS worst_rollouts
    FROM actions
    GROUP BY tree_id, node_id, state
    HAVING count(*) > 1
)
SELECT *, coalesce(spread > 1e-9, false) AS is_divergence,
    (better - worse) / sqrt(better * (1 - better) / (best_rollouts + 3) + worse * (1 - worse) / (worst_rollouts + 3)) AS margin_z
FROM choices,
    LATERAL (SELECT (best_mean * best_rollouts + 1) / (best_rollouts + 2) AS better, (worst_mean * worst_rollouts + 1) / (worst_rollouts + 2) AS worse)
