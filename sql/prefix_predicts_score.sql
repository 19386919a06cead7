-- How well the first steps predict the score: the share of the variance of scores within tasks that the node at each depth explains.
WITH scored AS (
    SELECT step_nodes.rollout_id, nodes.tree_id, nodes.depth, nodes.node_id, rollouts.score
    FROM step_nodes JOIN nodes USING (node_id) JOIN outcomes AS rollouts USING (rollout_id)
    WHERE rollouts.score IS NOT NULL
),
means AS (
    SELECT depth, score, avg(score) OVER (PARTITION BY tree_id, depth) AS of_task, avg(score) OVER (PARTITION BY node_id) AS of_node FROM scored
)
SELECT depth, count(*) AS rollouts, sum((of_node - of_task) ** 2) / nullif(sum((score - of_task) ** 2), 0) AS share_explained
FROM means
GROUP BY depth
ORDER BY depth
