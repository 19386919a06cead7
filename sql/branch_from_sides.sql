-- Nodes to branch from: the better and the worse side of each divergence whose scores are less than 2.58 standard errors apart. Those decisions come
-- first that should need the fewest further attempts, if their difference is one standard error larger than it seems: what is hardly tried
-- is tried, and what has turned out level comes last. Both sides of a decision follow each other, the noisier one first; a side
-- that has less than a third of the other's standard error has enough attempts for now.
WITH sides AS (
    SELECT d.tree_id, d.node_id AS decision, best_id, worst_id, abs(b.posterior - w.posterior) + sqrt(b.standard_error ** 2 + w.standard_error ** 2) AS difference,
        sqrt(greatest(b.variance, 0)) AS best_spread, sqrt(greatest(w.variance, 0)) AS worst_spread, b.rollouts AS best_rollouts, w.rollouts AS worst_rollouts,
        b.standard_error AS best_error, w.standard_error AS worst_error
    FROM decisions AS d JOIN beliefs AS b ON b.node_id = best_id JOIN beliefs AS w ON w.node_id = worst_id
    WHERE is_divergence AND abs(margin_z) < 2.58
),
costs AS (
    SELECT *, (best_spread + worst_spread) * (2.58 / difference) ** 2 AS scale,
        greatest(best_spread * scale - best_rollouts, 1) + greatest(worst_spread * scale - worst_rollouts, 1) AS cost
    FROM sides
),
nodes_to_try AS (
    SELECT cost, decision, unnest([(best_id, best_error, worst_error), (worst_id, worst_error, best_error)]) AS side
    FROM costs SEMI JOIN (SELECT tree_id FROM rollouts WHERE environment = $environment AND split = $split) USING (tree_id)
)
SELECT tree_id, node_id, 1.0 AS priority, min(cost) AS cost
FROM (SELECT cost, decision, side[1] AS node_id, side[2] AS error, side[3] AS other_error FROM nodes_to_try) JOIN nodes USING (node_id)
WHERE error >= other_error / 3 AND visits > ends
GROUP BY tree_id, node_id
ORDER BY cost, min(decision), max(error) DESC, node_id
