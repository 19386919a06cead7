"""The environment's own expert: its actions are played, and only rollouts with the full score are kept."""

from tratree_data.agents import Request, Response
from tratree_data.agents.transcript import Actions, replayed
from tratree_data.environments import Environment

FULL_SCORE = 1.0


class ExpertAgent:
    name = "expert"
    model = None
    batched = False
    wants_actions = False
    computed = True
    most_attempts = 1
    """An expert always does the same."""

    def __init__(self) -> None:
        self.actions: dict[str, Actions] = {}

    def begin(self, environment: Environment, task_id: str, attempt: int) -> tuple[str, str] | None:
        """Fetches the actions; a reason not to play if the environment has no expert for the task."""
        actions = environment.expert_actions(task_id)
        if actions is None:
            return "no_expert", f"{environment.name} has no expert for {task_id}"
        self.actions[task_id] = [("", action) for action in actions]
        return None

    def act(self, requests: list[Request]) -> list[Response]:
        return [replayed(self.actions[request.task_id], request) for request in requests]

    def keep(self, rollout: dict[str, object]) -> tuple[str, str] | None:
        """A reason to drop what the expert achieved."""
        self.actions.pop(str(rollout["task_id"]), None)
        score = rollout.get("score")
        if isinstance(score, float | int) and score >= FULL_SCORE:
            return None
        return "expert_below_1", f"{rollout['task_id']}: the expert's actions earned {score:g}, ended by {rollout['end_reason']}"

    def close(self) -> None:
        pass
