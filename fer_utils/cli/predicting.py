"""The work of `fer predict`, file by file."""

import json
from pathlib import Path

import typer
from tqdm import tqdm

from fer_utils.common.errors import UserError
from fer_utils.common.files import write_atomically
from fer_utils.detector.annotate import new_file, save_annotated
from fer_utils.detector.detector import EmotionDetector
from fer_utils.detector.inputs import is_video
from fer_utils.detector.photos import open_photo
from fer_utils.detector.table import row, write_table


class Predicting:
    """Answers for files, one after another, and keeps a row for every face.

    Args:
        detector: what answers.
        save: folder for annotated copies, or None.
        as_json: print a line of JSON for each photo or frame instead of sentences.
        every: of a video, look at every n-th frame.
        taken: names that no copy may take.
    """

    def __init__(self, detector: EmotionDetector, save: Path | None, as_json: bool, every: int, taken: list[Path]):
        self.detector, self.save, self.as_json, self.every, self.taken = detector, save, as_json, every, taken
        self.rows, self.failed = [], False

    def answer(self, files: list[str]) -> None:
        """Answer for each file; one that cannot be opened costs a line on stderr, and `failed` becomes true."""
        # Without --json the answers themselves show how far it is; None: only where somebody looks at a terminal.
        for file in tqdm(files, "files", unit="file", delay=2, leave=False, disable=None if self.as_json else True):
            try:
                self._video(file) if is_video(file) else self._photo(file)
            # Whatever it is about this file: the others are still to be answered.
            except Exception as error:
                self.failed = True
                message = str(error) if isinstance(error, UserError) else f"{file}: {error}"
                typer.echo(f"fer: {message}", err=True)
                if self.as_json:
                    self._print({"image": file, "faces": [], "error": message})

    def write_table(self, path: Path) -> None:
        """Write the rows of all faces until now."""
        write_table(path, self.rows)

    def _photo(self, file: str) -> None:
        photo = open_photo(file)
        faces = self.detector(photo)
        if self.save:
            self.taken.append(save_annotated(photo, faces, self.save, self.taken))
        self.rows += [row(file, number, face) for number, face in enumerate(faces, start=1)]
        if self.as_json:
            self._print({"image": file, "faces": [face.as_dict() for face in faces]})
        else:
            _print_faces(file, faces)

    def _video(self, file: str) -> None:
        from fer_utils.detector.video import Video, annotated_copy, watch

        video, before, frames = Video(file, self.every), len(self.rows), 0
        copy = new_file(self.save, Path(file).stem, ".mp4", self.taken) if self.save else None
        try:
            with annotated_copy(copy, video.rate / self.every) as add:
                bar = tqdm(watch(video, self.detector), Path(file).name, len(video) or None, unit="frame", disable=None)
                for frame in bar:
                    frames += 1
                    self._frame(file, frame)
                    add(frame)
        finally:
            rows = self.rows[before:]
            people = len({each["face"] for each in rows})
            if not self.as_json:
                typer.echo(f"{file}: {frames} frame(s) looked at, {people} different face(s)")
            if copy:
                self._chart(copy, rows)

    def _frame(self, file: str, frame) -> None:
        seconds, seen = round(frame.seconds, 3), list(zip(frame.people, frame.faces, strict=True))
        self.rows += [row(file, who, face, frame.number, seconds) for who, face in seen]
        if self.as_json:
            faces = [{"face": who, **face.as_dict()} for who, face in seen]
            self._print({"image": file, "frame": frame.number, "seconds": seconds, "faces": faces})

    def _chart(self, copy: Path, rows: list[dict]) -> None:
        import pandas as pd

        from fer_utils.plots.over_time import expressions_over_time

        table = pd.DataFrame(rows, columns=["seconds", "face"] if not rows else None)
        figure = expressions_over_time(table, copy.name)
        path = new_file(copy.parent, f"{copy.stem}_over_time", ".png", self.taken)
        write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))

    @staticmethod
    def _print(entry: dict) -> None:
        # At once and escaped: whoever reads along gets whole lines, in whatever encoding.
        print(json.dumps(entry), flush=True)


def _print_faces(image: str, faces: list) -> None:
    typer.echo(f"{image}: {len(faces)} face(s)")
    for face in faces:
        doubt = " (unsure)" if face.unsure else ""
        place = "in the picture as a whole" if face.whole else f"at x, y, width, height = {list(face.box)}"
        typer.echo(f"  {face.label} {face.confidence:.0%}{doubt} {place}")
