-- Pairs whose prompt is empty or ends with the agent, or whose sides do not start with an assistant message.
SELECT pair_id FROM pairs
WHERE len(prompt) = 0 OR prompt[-1].role = 'assistant' OR chosen[1].role <> 'assistant' OR rejected[1].role <> 'assistant'
ORDER BY pair_id
