-- The probability that at least one of k attempts solves a task, for each k (unbiased pass@k), over tasks with at least k attempts.
WITH counts AS (
    SELECT tree_id, count(*) AS attempts, count(*) FILTER (solved) AS successes FROM outcomes GROUP BY tree_id
),
draws AS (
    SELECT k, tree_id, attempts, successes FROM counts, range(1, 1 + (SELECT max(attempts) FROM counts)) AS ks (k) WHERE k <= attempts
)
SELECT k AS attempts, count(*) AS tasks,
    avg(CASE WHEN attempts - successes < k THEN 1 ELSE 1 - exp(lgamma(attempts - successes + 1) + lgamma(attempts - k + 1) - lgamma(attempts - successes - k + 1) - lgamma(attempts + 1)) END) AS solved
FROM draws
GROUP BY k
ORDER BY k
