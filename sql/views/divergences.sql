-- Decisions whose actions lead to different mean scores, the widest spread first. Of long actions, the first word is shown, and what differs
-- between the best and the worst, with the word before it; `decisions` has them in full.
WITH words AS (
    SELECT *, regexp_extract_all(best_action, '[^\s/]+[\s/]*|[\s/]+') AS best, regexp_extract_all(worst_action, '[^\s/]+[\s/]*|[\s/]+') AS worst
    FROM decisions
    WHERE is_divergence
),
beginnings AS (
    SELECT *, coalesce(list_position(list_transform(list_zip(best, worst), lambda pair: pair[1] IS DISTINCT FROM pair[2]), true), 1) AS start
    FROM words
),
endings AS (
    SELECT *, coalesce(list_position(list_transform(list_zip(list_reverse(best[start:]), list_reverse(worst[start:])),
        lambda pair: pair[1] IS DISTINCT FROM pair[2]), true), 1) - 1 AS shared
    FROM beginnings
),
shown AS (
    SELECT * REPLACE (greatest(0, least(shared, len(best) - start, len(worst) - start)) AS shared),
        if(start > 3, trim(best[1]) || ' … ', '') AS opening, if(start > 3, start - 1, 1) AS since
    FROM endings
),
closed AS (
    SELECT *, if(shared > 0, ' …', '') AS closing FROM shown
)
SELECT tree_id, node_id, state, depth, alternatives, spread,
    best_mean, opening || trim(array_to_string(best[since:len(best) - shared], '')) || closing AS best_action,
    worst_mean, opening || trim(array_to_string(worst[since:len(worst) - shared], '')) || closing AS worst_action
FROM closed
ORDER BY spread DESC, tree_id, node_id, state
