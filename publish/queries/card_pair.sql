-- The pair that is easiest to read: one diverging step, the widest margin, the shortest prompt; with the last thing that both sides saw.
WITH chosen AS (SELECT pair_id FROM pairs ORDER BY kind = 'step' DESC, len(prompt) > 1 DESC, margin DESC, len(prompt), pair_id LIMIT 1)
SELECT
    pairs.environment, pairs.task_id, kind, len(prompt) AS turns, chosen_score, rejected_score,
    prompt[-1] AS prompt, chosen[1] AS chosen, rejected[1] AS rejected,
    (SELECT min(instruction) FROM rollouts WHERE rollouts.tree_id = pairs.tree_id) AS instruction
FROM pairs
SEMI JOIN chosen USING (pair_id)
