-- What acted: scripts, experts, models, or what a log does not say; with the names of models, or else of agents.
SELECT
    CASE
        WHEN agent IN ('scripted', 'expert') THEN agent
        WHEN model IS NOT NULL THEN 'model'
        ELSE 'unknown'
    END AS actor,
    list_sort(list(DISTINCT coalesce(model, agent))) AS names,
    count(*) AS rollouts
FROM outcomes
GROUP BY actor
ORDER BY rollouts DESC, actor
