-- Tasks with a single attempt, and tasks most of whose steps are in one state, of at least $crowd steps. Parameter: $crowd.
SELECT count(*) FILTER (rollouts = 1) AS lonely, count(*) FILTER (most >= $crowd AND 2 * most > steps) AS crowded, max(most) AS most
FROM (SELECT tree_id, count(*) AS rollouts, sum(step_count) AS steps FROM rollouts GROUP BY tree_id)
JOIN (SELECT tree_id, max(visits) AS most FROM states GROUP BY tree_id) USING (tree_id)
