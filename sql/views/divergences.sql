-- Decisions whose actions lead to different mean scores, the widest spread first. Actions are shown from the first word to the last in
-- which the best differs from the worst; `decisions` has them in full.
WITH words AS (
    SELECT *, string_split(best_action, ' ') AS best, string_split(worst_action, ' ') AS worst FROM decisions WHERE is_divergence
),
beginnings AS (
    SELECT *, coalesce(list_position(list_transform(list_zip(best, worst), lambda pair: pair[1] IS DISTINCT FROM pair[2]), true), 1) AS start
    FROM words
),
endings AS (
    SELECT *, coalesce(list_position(list_transform(list_zip(list_reverse(best[start:]), list_reverse(worst[start:])),
        lambda pair: pair[1] IS DISTINCT FROM pair[2]), true), 1) - 1 AS shared
    FROM beginnings
)
SELECT tree_id, node_id, state, depth, alternatives, spread,
    best_mean, if(start > 2, '… ', '') || array_to_string(best[greatest(start - 1, 1):len(best) - shared], ' ') || if(shared > 0, ' …', '') AS best_action,
    worst_mean, if(start > 2, '… ', '') || array_to_string(worst[greatest(start - 1, 1):len(worst) - shared], ' ') || if(shared > 0, ' …', '') AS worst_action
FROM endings
ORDER BY spread DESC, tree_id, node_id, state
