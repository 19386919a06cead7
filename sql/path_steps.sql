-- The steps of some paths in order, each with every observation that a rollout had at its node. Parameters: $path_ids.
WITH listed AS (
    SELECT path_id, unnest(node_ids) AS node_id, generate_subscripts(node_ids, 1) - 1 AS step
    FROM paths
    WHERE path_id IN (SELECT unnest($path_ids))
),
others AS (
    SELECT node_id, list(DISTINCT observation ORDER BY observation) AS observations
    FROM step_nodes
    WHERE observation IS NOT NULL AND node_id IN (SELECT node_id FROM listed)
    GROUP BY node_id
)
SELECT
    listed.path_id, listed.step, listed.node_id, nodes.action,
    list_concat([nodes.observation], coalesce(others.observations, [])) AS observations
FROM listed
LEFT JOIN nodes USING (node_id)
LEFT JOIN others USING (node_id)
ORDER BY listed.path_id, listed.step
