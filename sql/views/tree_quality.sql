-- One row per tree: its size, and the paper's three criteria of a good tree: diversity (`breadth`), representativeness (`depth`) and
-- informativeness (`divergences`, `mean_spread`).
WITH widths AS (
    SELECT tree_id, max(width) AS breadth FROM (SELECT tree_id, depth, count(*) AS width FROM nodes GROUP BY tree_id, depth) GROUP BY tree_id
),
choices AS (
    SELECT tree_id, count(*) AS decisions, count(*) FILTER (is_divergence) AS divergences, avg(spread) AS mean_spread, max(spread) AS widest_spread
    FROM decisions
    GROUP BY tree_id
),
shapes AS (
    SELECT tree_id, max(visits) FILTER (parent_id IS NULL) AS attempts, count(*) AS nodes,
        coalesce(sum(visits) FILTER (parent_id IS NOT NULL), 0)::BIGINT AS steps, max(depth) AS depth,
        sum(depth * ends) / nullif(sum(ends), 0) AS mean_end_depth, count(*) FILTER (ends > 0) AS end_nodes,
        max(score_sum / nullif(scored_visits, 0)) FILTER (parent_id IS NULL) AS mean_score,
        max(end_score_sum / nullif(scored_ends, 0)) AS best_end_score, count(*) FILTER (state > 0) AS nodes_in_other_states
    FROM nodes
    GROUP BY tree_id
)
SELECT tree_id, attempts, nodes, steps, breadth, depth, mean_end_depth, end_nodes, coalesce(decisions, 0) AS decisions,
    coalesce(divergences, 0) AS divergences, mean_spread, widest_spread, mean_score, best_end_score, nodes_in_other_states
FROM shapes JOIN widths USING (tree_id) LEFT JOIN choices USING (tree_id)
ORDER BY tree_id
