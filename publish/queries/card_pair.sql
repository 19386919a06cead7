-- The pair that is easiest to read: one diverging step, the widest margin, the shortest prompt; with the last thing that both sides saw.
SELECT
    pairs.environment, pairs.task_id, kind, len(prompt) AS turns, chosen_score, rejected_score, prompt[-1].content AS prompt,
    concat_ws(chr(10), nullif(chosen[1].content, ''), array_to_string(chosen[1].tool_calls, chr(10))) AS chosen,
    concat_ws(chr(10), nullif(rejected[1].content, ''), array_to_string(rejected[1].tool_calls, chr(10))) AS rejected,
    (SELECT min(instruction) FROM rollouts WHERE rollouts.tree_id = pairs.tree_id) AS instruction
FROM pairs
ORDER BY kind = 'step' DESC, len(prompt) > 1 DESC, margin DESC, len(prompt), pair_id
LIMIT 1
