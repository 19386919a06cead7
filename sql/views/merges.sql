-- Steps that were merged although their texts differ, by similarity or as normalised, the least similar first. `step_saw` and `node_saw` show where the step's observation and that of
-- its node differ, from the first differing word to the last; step_nodes and nodes have them in full.
WITH words AS (
    SELECT step_nodes.similarity, coalesce(merged_by, 'similarity') AS merged_by, step_nodes.tree_id, step_nodes.rollout_id, step_nodes.step, node_id, nodes.action,
        string_split(coalesce(step_nodes.observation, nodes.observation), ' ') AS a, string_split(nodes.observation, ' ') AS b
    FROM step_nodes JOIN nodes USING (node_id)
    WHERE merged_by <> 'verbatim' OR (merged_by IS NULL AND step_nodes.similarity < 1)
),
beginnings AS (
    SELECT *, coalesce(list_position(list_transform(list_zip(a, b), lambda pair: pair[1] IS DISTINCT FROM pair[2]), true), 1) AS start
    FROM words
),
endings AS (
    SELECT *, coalesce(list_position(list_transform(list_zip(list_reverse(a[start:]), list_reverse(b[start:])),
        lambda pair: pair[1] IS DISTINCT FROM pair[2]), true), 1) - 1 AS shared
    FROM beginnings
)
SELECT similarity, merged_by,
    if(start > 2, '… ', '') || array_to_string(a[greatest(start - 1, 1):len(a) - shared], ' ') || if(shared > 0, ' …', '') AS step_saw,
    if(start > 2, '… ', '') || array_to_string(b[greatest(start - 1, 1):len(b) - shared], ' ') || if(shared > 0, ' …', '') AS node_saw,
    action, tree_id, node_id, rollout_id, step
FROM endings
ORDER BY similarity, merged_by DESC, rollout_id, step
