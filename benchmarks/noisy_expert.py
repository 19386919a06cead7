"""An agent for experiments where scripts are too weak: the environment's expert, who now and then does anything that is allowed.

tratree explore kitchen DIR --agent benchmarks/noisy_expert.py:NoisyExpert,noise=0.4
"""

import random
from collections.abc import Mapping

from tratree_data.agents import Request, Response
from tratree_data.agents.expert import ExpertAgent
from tratree_data.messages import answer


class NoisyExpert(ExpertAgent):
    name = "noisy-expert"
    wants_actions = True
    most_attempts: int | None = None  # type: ignore[assignment]

    def __init__(self, noise: float = 0.2) -> None:
        """`noise`: how often it does anything at all."""
        super().__init__()
        self.noise = noise
        self.model = f"noise{noise:g}"  # type: ignore[assignment]

    def act(self, requests: list[Request]) -> list[Response]:
        return [self._act(request) for request in requests]

    def _act(self, request: Request) -> Response:
        left = [action for _, action in self.actions[request.task_id]]
        for step in request.history:
            if step.action in left:
                left.remove(step.action)
        draw = random.Random(f"{self.noise}/{request.task_id}/{request.attempt}/{len(request.history)}")
        anything = draw.choice(list(request.admissible_actions or ["look"]))
        action = anything if draw.random() < self.noise or not left else left[0]
        return Response(answer("", action), "", action)

    def keep(self, rollout: Mapping[str, object]) -> None:
        """Every attempt counts, solved or not."""
