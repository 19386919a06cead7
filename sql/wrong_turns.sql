-- Where agents go wrong: actions whose mean score is lower than that of the best alternative, by the score that was lost.
WITH children AS (
    SELECT tree_id, parent_id, state, node_id, depth, action, scored_visits, score_sum / scored_visits AS mean_score,
        max(score_sum / scored_visits) OVER (PARTITION BY parent_id, state) AS best_mean
    FROM nodes
    WHERE parent_id IS NOT NULL AND scored_visits > 0
)
SELECT parent_id AS node_id, depth, scored_visits AS rollouts, mean_score, best_mean, scored_visits * (best_mean - mean_score) AS score_lost, action
FROM children
WHERE mean_score < best_mean
ORDER BY score_lost DESC, node_id, action
