"""Training outcome: what became of a job whose process is over, by its last word or by how it ended."""

from __future__ import annotations

import signal

from models.jobs import Job, JobState
from models.training_process import TrainingProcess

NO_WORD = "the process was gone without a word: it was killed, or the machine was restarted; repeat it"
KILLED = (
    "the training was killed from outside ({name}); most often memory ran out: choose fewer markets, a shorter range, "
    "a smaller batch or a smaller size, and repeat it"
)
ENDED = "the training ended with code {code} without saying why; its log says more"


def outcome(process: TrainingProcess, job: Job) -> tuple[JobState, str]:
    """By its last word, or where it had none by how it ended."""
    stage, code = process.last.get("stage"), process.exit_code
    if stage == "done":
        return JobState.DONE, str(process.last.get("message", ""))
    if job.cancelling:
        return JobState.CANCELLED, "cancelled while it ran; nothing of it was kept"
    if stage == "failed":
        return JobState.FAILED, str(process.last.get("message", ""))
    if code is None:
        return JobState.LOST, NO_WORD
    if code < 0:
        return JobState.FAILED, KILLED.format(name=signal.Signals(-code).name)
    return JobState.FAILED, ENDED.format(code=code)
