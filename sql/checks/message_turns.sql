-- Demonstrations whose messages do not alternate between user and assistant, starting with the user and ending with the assistant.
SELECT demonstration_id FROM demonstrations
WHERE len(messages) % 2 <> 0 OR len(messages) = 0
    OR list_transform(messages, lambda message: message.role) <> list_transform(range(len(messages)), lambda i: CASE WHEN i % 2 = 0 THEN 'user' ELSE 'assistant' END)
ORDER BY demonstration_id
