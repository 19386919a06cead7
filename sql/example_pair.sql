-- The pair that is easiest to read: one diverging step, the widest margin, the shortest prompt.
SELECT pair_id, kind, margin, len(prompt) AS turns, prompt[-1].content AS prompt, chosen[1] AS chosen, rejected[1] AS rejected
FROM pairs
ORDER BY kind = 'step' DESC, len(prompt) > 1 DESC, margin DESC, len(prompt), pair_id
LIMIT 1
