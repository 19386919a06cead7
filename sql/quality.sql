-- The quality of all trees together. Roots are nodes too, but no step is merged into one, so steps_per_node leaves them out.
WITH tasks AS (
    SELECT tree_id, count(*) AS tried, count(score) AS scored, count(*) FILTER (solved) AS solved, count(*) FILTER (judged) AS judged FROM outcomes GROUP BY tree_id
)
SELECT count(*) AS trees, sum(attempts)::BIGINT AS rollouts, sum(nodes)::BIGINT AS nodes, sum(steps) / nullif(sum(nodes) - count(*), 0) AS steps_per_node,
    avg(attempts) AS attempts_per_tree, avg(breadth) AS breadth, avg(depth) AS depth, sum(divergences)::BIGINT AS divergences,
    avg(divergences) AS divergences_per_tree, avg(mean_spread) AS spread, avg(CAST(divergences = 0 AS INTEGER)) AS share_without_divergence,
    avg(CAST(attempts < 2 AS INTEGER)) AS share_with_one_attempt, avg(CAST(scored = 0 AS INTEGER)) AS share_unscored,
    avg(CAST(solved = 0 AND judged > 0 AS INTEGER)) AS share_never_solved, avg(CAST(solved = tried AS INTEGER)) AS share_always_solved
FROM tree_quality JOIN tasks USING (tree_id)
