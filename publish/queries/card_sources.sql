-- Where imported rollouts come from, under which licence, and whom to credit.
SELECT coalesce(source_url, '–') AS source, coalesce(license, '–') AS license, coalesce(attribution, '–') AS credit, count(*) AS rollouts
FROM rollouts
WHERE source_url IS NOT NULL OR license IS NOT NULL OR attribution IS NOT NULL
GROUP BY ALL
ORDER BY source, license, credit
LIMIT 40
