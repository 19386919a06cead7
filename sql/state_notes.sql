-- Tasks with a single attempt, tasks most of whose steps are in one state, of at least $crowd steps, and observations that count as similar ones.
-- Parameter: $crowd.
SELECT count(*) FILTER (rollouts = 1) AS lonely, count(*) FILTER (most >= $crowd AND 2 * most > steps) AS crowded, max(most) AS most,
    (SELECT count(*) FROM state_merges) AS merges, (SELECT coalesce(sum(judged), 0)::BIGINT FROM state_merges) AS judged,
    (SELECT coalesce(sum(contradicted), 0)::BIGINT FROM state_merges) AS contradicted
FROM (SELECT tree_id, count(*) AS rollouts, sum(step_count) AS steps FROM rollouts GROUP BY tree_id)
JOIN (SELECT tree_id, max(visits) AS most FROM states GROUP BY tree_id) USING (tree_id)
