-- Every step together with its rollout, by task and attempt.
SELECT
    rollouts.rollout_id, rollouts.tree_id, rollouts.environment, rollouts.environment_version, rollouts.split, rollouts.task_id, rollouts.attempt,
    rollouts.prompt, rollouts.instruction, rollouts.agent, rollouts.model, rollouts.sampling, rollouts.score, rollouts.success,
    rollouts.end_reason, rollouts.end_observation, rollouts.seconds, rollouts.prompt_tokens, rollouts.completion_tokens,
    rollouts.trajectory_id, rollouts.tools, rollouts.end_messages, rollouts.metadata,
    steps.step, steps.observation, steps.thought, steps.action, steps.response, steps.reward, steps.valid,
    steps.input_messages, steps.output_message, steps.metadata AS step_metadata
FROM outcomes AS rollouts
JOIN steps USING (rollout_id)
ORDER BY rollouts.environment, rollouts.task_id, rollouts.attempt, rollouts.rollout_id, steps.step
