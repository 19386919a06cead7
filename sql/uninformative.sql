-- Short observations that answer many different actions, in many different situations: they say nothing about the state.
SELECT answer.observation
FROM steps AS answer JOIN steps AS asked ON asked.rollout_id = answer.rollout_id AND asked.step = answer.step - 1
WHERE length(answer.observation) <= 200
GROUP BY answer.observation
HAVING trim(answer.observation) = '' OR (count(DISTINCT asked.action) >= 5 AND count(DISTINCT asked.observation) >= 5)
ORDER BY answer.observation
