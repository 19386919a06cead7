-- States in which more than one action was taken. `spread` is the distance between the best and the worst mean score of these actions
-- (NULL with fewer than two scored actions); a decision with a spread is a divergence. Rounding errors are not a spread.
-- Of actions with the same mean, the one of more rollouts is named. `margin_z` is the difference between the two in standard errors, as in `pairs`. Means are those of `beliefs`.
WITH several AS (
    SELECT parent_id, state FROM nodes WHERE parent_id IS NOT NULL GROUP BY parent_id, state HAVING count(*) > 1
),
actions AS (
    SELECT tree_id, parent_id AS node_id, state, depth - 1 AS depth, action, node_id AS child_id, rollouts, mean_score, posterior, standard_error
    FROM beliefs SEMI JOIN several USING (parent_id, state)
),
choices AS (
    SELECT tree_id, node_id, state, min(depth) AS depth, count(*) AS alternatives,
        CASE WHEN count(mean_score) > 1 THEN max(mean_score) - min(mean_score) END AS spread,
        max(mean_score) AS best_mean, arg_max(action, (mean_score, rollouts, child_id)) FILTER (mean_score IS NOT NULL) AS best_action,
        arg_max(child_id, (mean_score, rollouts, child_id)) FILTER (mean_score IS NOT NULL) AS best_id,
        arg_max(rollouts, (mean_score, rollouts, child_id)) FILTER (mean_score IS NOT NULL) AS best_rollouts,
        arg_max((posterior, standard_error), (mean_score, rollouts, child_id)) FILTER (mean_score IS NOT NULL) AS better,
        min(mean_score) AS worst_mean, arg_min(action, (mean_score, -rollouts, child_id)) FILTER (mean_score IS NOT NULL) AS worst_action,
        arg_min(child_id, (mean_score, -rollouts, child_id)) FILTER (mean_score IS NOT NULL) AS worst_id,
        arg_min(rollouts, (mean_score, -rollouts, child_id)) FILTER (mean_score IS NOT NULL) AS worst_rollouts,
        arg_min((posterior, standard_error), (mean_score, -rollouts, child_id)) FILTER (mean_score IS NOT NULL) AS worse
    FROM actions
    GROUP BY tree_id, node_id, state
)
SELECT * EXCLUDE (better, worse), coalesce(spread > 1e-9, false) AS is_divergence,
    (better[1] - worse[1]) / sqrt(better[2] ** 2 + worse[2] ** 2) AS margin_z
FROM choices
