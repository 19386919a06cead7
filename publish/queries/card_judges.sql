-- Who gave the scores that count, where the log or environment did not.
SELECT source, count(*) AS rollouts
FROM effective_scores
GROUP BY source
ORDER BY rollouts DESC, source
LIMIT 5
