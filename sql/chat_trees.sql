-- Trees whose rollouts have messages of their own: tools, tool calls, separate reasoning, or plain answers rather than Thought and Action.
SELECT DISTINCT tree_id
FROM rollouts
LEFT JOIN (
    SELECT
        rollout_id,
        bool_or(output_message IS NOT NULL) AS speaks,
        coalesce(bool_and(response = action AND thought = ''), false) AS answers
    FROM steps
    GROUP BY rollout_id
) USING (rollout_id)
WHERE tools IS NOT NULL OR speaks OR (answers AND source <> 'explore')
ORDER BY tree_id
