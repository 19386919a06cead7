-- Tasks and rollouts of each split.
SELECT split, count(DISTINCT tree_id) AS tasks, count(*) AS rollouts, avg(score) AS mean_score
FROM outcomes
GROUP BY split
ORDER BY split
