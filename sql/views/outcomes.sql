-- Every rollout with `solved`: what the environment reported (`success`), or a score of 1 where it reported nothing; false without either.
SELECT *, coalesce(success, score >= 1, false) AS solved
FROM rollouts
