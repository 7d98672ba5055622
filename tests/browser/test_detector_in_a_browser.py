"""The uploader as people meet it: in notebook 6 within JupyterLab, and as a page of its own."""

import io
import json
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image
from portraits import astronaut, group_photo

from fer_utils import EMOTIONS
from fer_utils.common.stored_weights import ONNX_FILE, assets

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "06_resnet50.ipynb"
TOKEN = "of-the-tests"
# Training takes a minute; this stands in for what it leaves behind.
IN_PLACE_OF_TRAINING = """
from types import SimpleNamespace

tiny = [keras.Input((48, 48, 1)), layers.Rescaling(1 / 255), layers.AveragePooling2D(8), layers.Flatten()]
run = SimpleNamespace(model=keras.Sequential([*tiny, layers.Dense(7, activation="softmax")]))
"""


def file_of(picture, name="astronaut.png", mime="image/png") -> dict:
    """Return a file as Playwright's file chooser wants it."""
    content = picture
    if isinstance(picture, np.ndarray):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        content = buffer.getvalue()
    return {"name": name, "mimeType": mime, "buffer": content}


def choose(page, *files) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose photos").click()
    chooser.value.set_files(list(files))
    # Not "Press Submit.", which the notebook's text says as well.
    page.get_by_text(f"Chosen: {files[0]['name']}").wait_for()


def submit_and_read(page) -> list[tuple[str, int]]:
    """Press Submit and return the bars of the first face: emotion, percent."""
    page.get_by_role("button", name="Submit").click()
    table = page.locator(".fer-result table").first
    table.wait_for()
    assert table.locator("caption").inner_text().split()[1].strip(",") in EMOTIONS
    rows = [row.inner_text().split() for row in table.locator("tr").all()]
    widths = [bar.bounding_box()["width"] for bar in table.locator("td.bar span").all()]
    assert len(widths) == 7 and max(widths) > 10
    return [(name, int(percent.strip("%"))) for name, percent in rows]


def use_the_form(page, screenshot, prefix: str, flagged: Path) -> None:
    """What a person does with the form, from the first photo to a broken file."""
    screenshot(f"{prefix}_1_empty")
    choose(page, file_of(astronaut()))
    bars = submit_and_read(page)
    assert [name for name, _ in bars] == list(EMOTIONS) and 95 <= sum(percent for _, percent in bars) <= 105
    assert page.locator(".fer-result img.photo").count() == 1
    screenshot(f"{prefix}_2_result")

    assert not flagged.exists()
    page.get_by_label("What you see").select_option("happy")
    page.get_by_role("button", name="Flag").click()
    page.get_by_text("Stored:").wait_for()
    screenshot(f"{prefix}_3_flagged")
    assert len(list(flagged.glob("*.png"))) == 1 and "happy" in (flagged / "flagged.csv").read_text()

    page.get_by_role("button", name="Clear").click()
    page.locator(".fer-result").wait_for(state="detached")
    assert page.get_by_role("button", name="Submit").is_disabled()

    choose(page, file_of(b"PK\x03\x04 this is no picture", "holiday.jpg", "image/jpeg"))
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("holiday.jpg is a zip archive, not a picture").wait_for()
    screenshot(f"{prefix}_4_broken")

    # Larger than Jupyter's servers take in one message (10 MB), and several at once.
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2200, 3)).astype(np.uint8)
    choose(page, file_of(noise, "noise.png"), file_of(group_photo()[0], "group.png"))
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("heading", name="Photo 1: noise.png, no face found").wait_for()
    page.get_by_role("heading", name="Photo 2: group.png, 5 faces").wait_for()
    screenshot(f"{prefix}_5_several")


def test_in_jupyterlab(page, serve, screenshot, tmp_path):
    """Notebook 6 with its real cells, from the data on; only the training is replaced."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    ids = [cell.id for cell in notebook.cells]
    kept = [cell for cell in notebook.cells if cell.id in ("parameters", "imports", "load")]
    kept.append(nbformat.v4.new_code_cell(IN_PLACE_OF_TRAINING))
    notebook.cells = kept + notebook.cells[ids.index("detector-why") :]
    for cell in kept:
        cell.outputs = []
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "06.ipynb")
    # Even someone who has asked JupyterLab to store the state of widgets must not find photos in the notebook.
    _set(tmp_path, "@jupyter-widgets/jupyterlab-manager/plugin", saveState=True)
    # Cells outside the window shall be there as well.
    _set(tmp_path, "@jupyterlab/notebook-extension/tracker", windowingMode="none")
    port = serve(
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--port={port}",
        "--ServerApp.ip=127.0.0.1",
        "--IdentityProvider.token=",
        "--ServerApp.root_dir=notebooks",
    )
    page.goto(f"http://127.0.0.1:{port}/lab/tree/06.ipynb?reset")
    # Run before the kernel answers, and JupyterLab asks which one to take.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
    page.get_by_role("button", name="Choose photos").wait_for(timeout=180_000)
    use_the_form(page, screenshot, "lab", tmp_path / "flagged")

    page.keyboard.press("Escape")
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_role("menuitem", name=re.compile(r"^Save Notebook(?! As)")).click()
    saved = tmp_path / "notebooks" / "06.ipynb"
    page.wait_for_function("() => !document.title.startsWith('*') && !document.querySelector('.jp-mod-dirty')")
    text = _saved_with_state(page, saved)
    assert "data:image" not in text and "group.png" not in text and "holiday" not in text


def _set(folder: Path, plugin: str, **values) -> None:
    path = folder / "JUPYTERLAB_SETTINGS" / f"{plugin}.jupyterlab-settings"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(values))


def _saved_with_state(page, path: Path) -> str:
    """Return the notebook's text once the state of its widgets is in it, as was asked for."""
    for _ in range(100):
        text = path.read_text(encoding="utf-8")
        if "application/vnd.jupyter.widget-state+json" in text:
            return text
        page.wait_for_timeout(200)
    raise AssertionError("the notebook was not saved with the state of its widgets")


@pytest.fixture
def model() -> str:
    """The shipped model, or where there is none yet, the one that $FER_APP_MODEL names."""
    if (assets() / ONNX_FILE).is_file():
        return "shipped"
    return os.environ.get("FER_APP_MODEL") or pytest.skip("the package holds no model yet")


def test_as_a_page_of_its_own(page, serve, screenshot, tmp_path, model):
    port = serve("fer_utils", "app", "--no-browser", "--port={port}", "--model", model, JUPYTER_TOKEN=TOKEN)
    page.goto(f"http://127.0.0.1:{port}/?token={TOKEN}", wait_until="commit")
    page.get_by_role("button", name="Choose photos").wait_for(timeout=120_000)
    use_the_form(page, screenshot, "app", tmp_path / "flagged")

    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the picture").wait_for()
    page.wait_for_timeout(500)
    screenshot("app_6_camera")
    page.get_by_role("button", name="Take the picture").click()
    page.get_by_text("Chosen: camera.jpg").wait_for()


def test_with_the_keyboard_alone_and_by_dropping(page, serve, model):
    port = serve("fer_utils", "app", "--no-browser", "--port={port}", "--model", model, JUPYTER_TOKEN=TOKEN)
    page.goto(f"http://127.0.0.1:{port}/?token={TOKEN}", wait_until="commit")
    page.get_by_role("button", name="Choose photos").wait_for(timeout=120_000)
    page.evaluate("""async () => {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = 48;
      const blob = await new Promise((done) => canvas.toBlob(done));
      const files = new DataTransfer();
      files.items.add(new File([blob], "dropped.png"));
      const drop = new DragEvent("drop", { dataTransfer: files, bubbles: true });
      document.querySelector(".fer-picker").dispatchEvent(drop);
    }""")
    page.get_by_text("Chosen: dropped.png").wait_for()
    reached = []
    page.get_by_role("button", name="Choose photos").focus()
    for _ in range(8):
        reached.append(page.evaluate("document.activeElement.textContent || document.activeElement.type"))
        if "Submit" in reached[-1]:
            break
        page.keyboard.press("Tab")
    assert "Submit" in reached[-1], reached
    assert any("Use the camera" in name for name in reached) and "checkbox" in reached, reached
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="dropped.png, no face found").wait_for()
