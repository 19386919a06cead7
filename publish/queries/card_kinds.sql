-- Demonstrations by kind, and how many of them are different conversations.
SELECT kind, count(*) AS rows, count(DISTINCT messages) AS different
FROM demonstrations
GROUP BY kind
ORDER BY list_position(['path', 'best', 'success', 'expert'], kind), kind
