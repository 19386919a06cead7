-- Rollouts by score in tenths; 10 means a full score, 11 no score.
SELECT coalesce(CASE WHEN score = 1 THEN 10 ELSE floor(score * 10) END, 11)::INTEGER AS bin, count(*) AS rollouts
FROM outcomes
GROUP BY bin
ORDER BY bin
