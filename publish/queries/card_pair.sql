-- The pair that is easiest to read: one diverging step, in words and not only in punctuation, the widest margin, the shortest prompt; with the last thing that both sides saw.
-- Words are compared in the 100 pairs that are best otherwise, because that takes longest.
WITH best AS (
    SELECT pair_id, kind, margin, len(prompt) AS turns
    FROM pairs
    ORDER BY kind IN ('step', 'anchor') DESC, kind = 'step' DESC, turns > 1 DESC, margin DESC, turns, pair_id
    LIMIT 100
),
words AS (
    SELECT pair_id,
        regexp_replace(lower(chosen[1]::VARCHAR), '[\p{P}\p{S}\p{Z}]', '', 'g') <> regexp_replace(lower(rejected[1]::VARCHAR), '[\p{P}\p{S}\p{Z}]', '', 'g') AS differ
    FROM pairs SEMI JOIN best USING (pair_id)
),
chosen AS (
    SELECT pair_id
    FROM best JOIN words USING (pair_id)
    ORDER BY kind IN ('step', 'anchor') DESC, kind = 'step' DESC, differ DESC, turns > 1 DESC, margin DESC, turns, pair_id
    LIMIT 1
)
SELECT
    pairs.environment, pairs.task_id, kind, len(prompt) AS turns, chosen_score, rejected_score,
    prompt[-1] AS prompt, chosen[1] AS chosen, rejected[1] AS rejected,
    (SELECT min(instruction) FROM rollouts WHERE rollouts.tree_id = pairs.tree_id) AS instruction
FROM pairs
SEMI JOIN chosen USING (pair_id)
