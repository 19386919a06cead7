-- A task worth showing: its tree is small, and its attempts had different outcomes, or are at least several.
WITH trees AS (
    SELECT tree_id, count(*) AS nodes, max(depth) AS depth FROM nodes GROUP BY tree_id
),
attempts AS (
    SELECT tree_id, min(task_id) AS task_id, count(*) AS attempts, avg(score) AS mean_score, stddev_pop(score) AS spread FROM outcomes GROUP BY tree_id
)
SELECT task_id, nodes, mean_score, spread
FROM trees JOIN attempts USING (tree_id)
ORDER BY nodes > 60, nodes < 8, spread DESC NULLS LAST, attempts DESC, nodes, task_id
LIMIT 1
