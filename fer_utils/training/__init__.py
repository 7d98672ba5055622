from fer_utils.training.identity import environment
from fer_utils.training.judge import judge, judge_twice
from fer_utils.training.run_files import TrainedRun
from fer_utils.training.stages import join_stages, prepare, two_stages
from fer_utils.training.starts import NAMES, STAGES, compare_starts
from fer_utils.training.step_sizes import cosine_rate
from fer_utils.training.train import train

__all__ = [
    "NAMES",
    "STAGES",
    "TrainedRun",
    "compare_starts",
    "cosine_rate",
    "environment",
    "join_stages",
    "judge",
    "judge_twice",
    "prepare",
    "train",
    "two_stages",
]
