"""The text files of one MOT16 folder, written frame by frame."""

from pathlib import Path
from typing import Any

from .folders import JsonList
from .frames import SequenceTask, sequence_scene, view_note


class SequenceFiles:
    """`gt.txt`, `det.txt`, `seqinfo.ini` and `annotations.json` of one camera, counted from 0; no frame is kept."""

    def __init__(self, sequence: SequenceTask, camera: int, folder: Path) -> None:
        width, height = sequence.size
        (folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate={sequence.fps:g}\nseqLength={sequence.frames}\n"
            f"imWidth={width}\nimHeight={height}\nimExt=.jpg\n",
            encoding="ascii",
        )
        world = {"level": sequence.level, "seed": sequence.seed, "sequence": sequence.sequence, "camera": camera + 1,
                 "crowd": sequence.crowd}  # fmt: skip
        view = view_note(sequence_scene(sequence).cameras[camera])
        self._truth = (folder / "gt" / "gt.txt").open("w", encoding="ascii")
        self._found = (folder / "det" / "det.txt").open("w", encoding="ascii")
        self._notes = JsonList(folder / "annotations.json", {"world": world, "view": view}, "frames")

    def add(self, number: int, frame: dict[str, Any]) -> None:
        """One more frame, counted from 1, as `frames.write_frame` gives it."""
        for person in frame["people"]:
            box = ",".join(f"{value:.2f}" for value in person["box"])
            self._truth.write(f"{number},{person['id']},{box},1,1,{person['visibility']:.4f}\n")
        for row in frame["detections"]:
            box = ",".join(f"{value:.2f}" for value in row[:4])
            self._found.write(f"{number},-1,{box},{row[4]:.4f},-1,-1,-1\n")
        self._notes.add({"frame": number} | {key: value for key, value in frame.items() if key != "detections"})

    def close(self) -> None:
        """End all files."""
        self._truth.close()
        self._found.close()
        self._notes.close()
