-- Demonstrations by kind, and how many of them are different conversations; the row without a kind counts all.
SELECT kind, count(*) AS rows, count(DISTINCT conversation) AS different
FROM (SELECT kind, hash(messages) AS conversation FROM demonstrations)
GROUP BY GROUPING SETS ((kind), ())
ORDER BY list_position(['path', 'best', 'success', 'expert'], kind), kind NULLS LAST
