-- Pairs whose prompt does not end with a user message, or whose two sides are the same or do not start with an assistant message.
SELECT pair_id FROM pairs
WHERE prompt[-1].role <> 'user' OR chosen[1].role <> 'assistant' OR rejected[1].role <> 'assistant' OR chosen = rejected
ORDER BY pair_id
