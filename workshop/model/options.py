"""What can be said to `python -m workshop.model compact`: the options' types and their help."""

from pathlib import Path
from typing import Annotated

from typer import Option

DATA_HELP = "Zip, folder, CSV or .tar.gz.  [default: $FER_DATA, data/, the sample]"
Data = Annotated[Path | None, Option(help=DATA_HELP)]
RunDir = Annotated[Path, Option(help="Folder of the run; if it holds one, that run goes on.")]
Out = Annotated[Path | None, Option(help="Folder for compact.npz and compact.onnx.  [default: the run's folder]")]
Epochs = Annotated[int, Option(min=1, help="Passes over the training images.")]
Steps = Annotated[int | None, Option(min=1, help="Training steps, instead of --epochs, as a run was shortened to.")]
DecayFrom = Annotated[
    int | None, Option(min=0, help="Step from which the learning rate falls; by default the last 40 %.")
]
Seed = Annotated[int, Option(min=0, help="Seed of everything random.")]
BatchSize = Annotated[int, Option(min=2, help="Faces in a training step.")]
LearningRate = Annotated[
    float | None, Option(min=1e-6, help="AdamW's highest learning rate.  [default: 0.002; with --start 0.0015]")
]
Validation = Annotated[
    float, Option(min=0.01, max=0.5, help="Part of Training that is held out for choices and temperature.")
]
Limit = Annotated[int, Option(min=0, help="Use only so many training images; 0 uses all.")]
DType = Annotated[str, Option(help="auto, float32 or mixed_bfloat16; auto takes bfloat16 where the processor has it.")]
Begin = Annotated[
    str | None,
    Option(help="Begin with a finished model: 'shipped', or a run's folder. Without --teacher, learn its answers too."),
]
Width = Annotated[
    float, Option(min=0.1, help="Factor on the network's channels; 2.5 makes a good teacher, and needs a GPU.")
]
Teachers = Annotated[
    list[Path] | None,
    Option(
        help="Folder of a finished run, or 'shipped', whose answers to every changed picture are learned too; may be "
        "repeated."
    ),
]
Trust = Annotated[
    float | None,
    Option(min=0, max=1, help="Share of such answers in what is learned.  [default: 0.75; without --teacher 0.6]"),
]
OnDevice = Annotated[
    bool | None, Option(help="Whole epochs as one program on a GPU, with Keras on JAX.  [default: if that is so]")
]
Views = Annotated[
    int | None, Option(min=1, help="On a GPU: epochs until the same changed pictures come again.  [default: never]")
]
SaveEvery = Annotated[
    int | None, Option(min=1, help="Steps between two checkpoints; by default an epoch, at most 100, or ten on a GPU.")
]
Members = Annotated[
    list[Path],
    Option(help="Folder of a finished run of 'python -m workshop.model compact', or 'shipped'; twice or more."),
]
