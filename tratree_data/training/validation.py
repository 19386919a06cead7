"""The validation curve of a training: the loss on rows that were held out, next to the training loss."""

from typing import Any


def validated(state: Any) -> dict[str, Any]:
    """{'validation': best loss and step, and the curve} of a trainer's state; {} if nothing was held out."""
    curve = [{"step": entry["step"], "loss": entry["eval_loss"]} for entry in state.log_history if "eval_loss" in entry]
    if not curve:
        return {}
    best = min(curve, key=lambda point: point["loss"])
    kept = state.best_model_checkpoint is not None
    return {"validation": {"best": best, "curve": curve, "planned_steps": state.max_steps, "best_was_kept": kept}}


def describe_validation(found: dict[str, Any]) -> str:
    best, last = found["best"], found["curve"][-1]
    stopped = f", stopped before {found['planned_steps']:,}" if found["best_was_kept"] and last["step"] < found["planned_steps"] else ""
    kept = "kept" if found["best_was_kept"] else "not kept; --patience 3 would keep it"
    return f"validation loss {best['loss']:.4f} at step {best['step']:,} ({kept}), {last['loss']:.4f} at step {last['step']:,}{stopped}"


def curve_table(found: dict[str, Any], log: list[dict[str, Any]]) -> list[str]:
    """The curve as Markdown, with the last training loss before each validation."""
    lines = ["## Validation", "", "| step | loss trained | loss held out |", "|---|---|---|"]
    for point in found["curve"]:
        trained = [entry["loss"] for entry in log if "loss" in entry and entry["step"] <= point["step"]]
        lines.append(f"| {point['step']:,} | {f'{trained[-1]:.4f}' if trained else '–'} | {point['loss']:.4f} |")
    return [
        *lines,
        "",
        f"The model is that of step {found['best']['step'] if found['best_was_kept'] else found['curve'][-1]['step']:,}.",
        "",
    ]
