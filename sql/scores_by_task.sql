-- The scores of each task's rollouts, and whether each solved it, in the order of the attempts; rollouts without a score are left out.
SELECT
    tree_id,
    list(score ORDER BY attempt, rollout_id) AS scores,
    list(solved ORDER BY attempt, rollout_id) AS solved
FROM outcomes
WHERE score IS NOT NULL
GROUP BY tree_id
ORDER BY tree_id
