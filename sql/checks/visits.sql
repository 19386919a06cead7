-- Nodes whose visits or scores are not the sum over their children plus the rollouts that end there.
WITH below AS (
    SELECT parent_id AS node_id, sum(visits) AS visits, sum(scored_visits) AS scored_visits, sum(score_sum) AS score_sum
    FROM nodes WHERE parent_id IS NOT NULL GROUP BY parent_id
)
SELECT nodes.tree_id, nodes.node_id, nodes.visits, nodes.ends, below.visits AS visits_below
FROM nodes LEFT JOIN below USING (node_id)
WHERE nodes.visits <> coalesce(below.visits, 0) + nodes.ends
    OR nodes.scored_visits <> coalesce(below.scored_visits, 0) + nodes.scored_ends
    OR abs(nodes.score_sum - coalesce(below.score_sum, 0) - nodes.end_score_sum) > 1e-6 * (1 + nodes.score_sum)
ORDER BY nodes.tree_id, nodes.node_id
