-- Why trees teach little: the trees per cause, each under the first cause that holds, and `unsolved`, the trees with scores but no solution.
-- Trees with a divergence have no cause.
WITH tasks AS (
    SELECT tree_id, count(*) AS tried, count(score) AS scored, count(*) FILTER (solved) AS solved, min(score) AS worst, max(score) AS best
    FROM outcomes
    GROUP BY tree_id
),
trees AS MATERIALIZED (SELECT * FROM tree_quality JOIN tasks USING (tree_id)),
causes AS (
    SELECT CASE
            WHEN tried < 2 THEN 'one_attempt'
            WHEN scored = 0 THEN 'unscored'
            WHEN divergences > 0 THEN NULL
            WHEN scored < 2 THEN 'one_score'
            WHEN worst = best AND solved = tried THEN 'always_solved'
            WHEN worst = best THEN 'equal_scores'
            WHEN decisions = 0 THEN 'no_decision'
            ELSE 'equal_means'
        END AS cause
    FROM trees
    UNION ALL
    SELECT 'unsolved' FROM trees WHERE scored > 0 AND solved = 0
)
SELECT cause, count(*) AS trees, (SELECT count(*) FROM nodes WHERE parent_id IS NULL) AS in_all
FROM causes
WHERE cause IS NOT NULL
GROUP BY cause
ORDER BY cause
