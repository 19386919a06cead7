-- The logs from which rollouts were imported.
SELECT format, count(*) AS rollouts
FROM rollouts
WHERE format IS NOT NULL
GROUP BY format
ORDER BY rollouts DESC, format
LIMIT 20
