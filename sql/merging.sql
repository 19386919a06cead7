-- Why steps did not merge, in trees of several attempts: `split` nodes have a sibling with the same action and another observation (noise,
-- or an environment that answers differently); `unbranched` trees share no step at all, and in `split_openings` of them this is so although
-- attempts began with the same action.
WITH several AS (SELECT tree_id FROM nodes WHERE parent_id IS NULL AND visits > 1),
alike AS (SELECT parent_id, action FROM nodes SEMI JOIN several USING (tree_id) WHERE parent_id IS NOT NULL GROUP BY parent_id, action HAVING count(*) > 1),
children AS (
    SELECT tree_id, node_id, depth, visits, (parent_id, action) IN (SELECT (parent_id, action) FROM alike) AS is_split
    FROM nodes SEMI JOIN several USING (tree_id)
    WHERE parent_id IS NOT NULL
),
trees AS (
    SELECT tree_id, count(*) AS nodes, sum(visits) AS steps, count(*) FILTER (is_split) AS split, max(visits) = 1 AS is_unbranched,
        bool_or(is_split AND depth = 1) AS has_split_opening
    FROM children
    GROUP BY tree_id
)
SELECT count(*) AS trees, coalesce(sum(nodes), 0)::BIGINT AS nodes, coalesce(sum(steps), 0)::BIGINT AS steps, coalesce(sum(split), 0)::BIGINT AS split,
    count(*) FILTER (is_unbranched) AS unbranched, count(*) FILTER (is_unbranched AND has_split_opening) AS split_openings
FROM trees
