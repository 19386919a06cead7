-- Demonstrations that do not end with the agent; and in the form react, those whose messages do not alternate, starting with the user.
SELECT demonstration_id FROM demonstrations
WHERE len(messages) = 0 OR messages[-1].role <> 'assistant' OR (
    form IS DISTINCT FROM 'chat'
    AND list_transform(messages, lambda message: message.role) <> list_transform(range(len(messages)), lambda i: CASE WHEN i % 2 = 0 THEN 'user' ELSE 'assistant' END)
)
ORDER BY demonstration_id
