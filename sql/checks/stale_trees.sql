-- Trees that do not contain exactly the rollouts of their task: rollouts were added or removed after build.
SELECT coalesce(rollouts.tree_id, nodes.tree_id) AS tree_id, coalesce(rollouts.rollouts, 0) AS rollouts, coalesce(nodes.visits, 0) AS visits
FROM (SELECT tree_id, count(*) AS rollouts FROM rollouts WHERE duplicate_of IS NULL GROUP BY tree_id) AS rollouts
FULL JOIN (SELECT tree_id, visits FROM nodes WHERE parent_id IS NULL) AS nodes USING (tree_id)
WHERE rollouts.rollouts IS DISTINCT FROM nodes.visits
ORDER BY tree_id
