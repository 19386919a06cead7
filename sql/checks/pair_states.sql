-- Divergence pairs whose sides are not children of the same node in the same state.
SELECT pairs.pair_id, pairs.node_id FROM pairs
LEFT JOIN nodes AS better ON better.node_id = pairs.chosen_node_id LEFT JOIN nodes AS worse ON worse.node_id = pairs.rejected_node_id
WHERE pairs.kind IN ('divergence', 'step', 'siblings')
    AND (better.parent_id IS DISTINCT FROM pairs.node_id OR worse.parent_id IS DISTINCT FROM pairs.node_id OR better.state IS DISTINCT FROM worse.state)
ORDER BY pairs.pair_id
