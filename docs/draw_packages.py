"""Draw docs/images/packages.svg, the packages of fer_utils and who imports whom, from the imports as they are.

python docs/draw_packages.py

`tests/test_house.py` compares the picture, and every import, with the table in docs/architecture.md.
"""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "images" / "packages.svg"

# The middle of each box, in boxes from the left and in rows from below. `cli`, which imports most of them, is the roof;
# `common`, which all import, is the floor.
PLACES = {
    "runner": (1.2, 3),
    "widgets": (4.8, 3),
    "experiments": (0.0, 2),
    "records": (1.8, 2),
    "detector": (3.9, 2),
    "audit": (0.0, 1),
    "training": (2.62, 1),
    "acceleration": (3.6, 1),
    "explanation": (5.3, 1),
    "dataset": (0.3, 0),
    "plots": (1.3, 0),
    "evaluation": (2.4, 0),
    "models": (4.2, 0),
}
ROOF, FLOOR = "cli", "common"


def allowed() -> dict[str, set[str]]:
    """Return for each package of the page's table, in its order, which packages it may import besides `common`."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for name, _ in rows]
    everything = "everything below"
    return {
        name: set(names[i + 1 :]) if may == everything else set(re.findall(r"\w+", may))
        for i, (name, may) in enumerate(rows)
    }


def imports(package: str = "fer_utils") -> list[tuple[str, str]]:
    """Return all imports between the project's own modules, as (importing module, imported module), sorted.

    Args:
        package: the folder below the project's root that is searched; what is imported may lie in any.
    """
    modules = {_name(path) for folder in ("fer_utils", "workshop") for path in (ROOT / folder).rglob("*.py")}
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                # `from fer_utils import audit` takes a package, `from fer_utils.audit import twins` a name of one.
                wanted = [
                    f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in modules else node.module
                    for a in node.names
                ]
            else:
                continue
            found |= {(_name(path), name) for name in wanted if name in modules}
    return sorted(found)


def arrows() -> list[tuple[str, str]]:
    """Return which package of fer_utils imports which other one, sorted; without those of roof and floor."""
    pairs = {(package_of(importer), package_of(imported)) for importer, imported in imports()}
    return sorted((one, other) for one, other in pairs if one != other and not {one, other} & {"", ROOF, FLOOR})


def package_of(module: str) -> str:
    """Return the package of fer_utils that a module belongs to: "audit" for "fer_utils.audit.copies", "" for none."""
    parts = module.split(".")
    is_package = parts[0] == "fer_utils" and len(parts) > 1 and (ROOT / "fer_utils" / parts[1]).is_dir()
    return parts[1] if is_package else ""


def drawn_arrows() -> list[tuple[str, str]]:
    """Return the arrows of the picture as it was last drawn."""
    text = re.search(r"arrows: (\[.*?\]\])", PICTURE.read_text(encoding="utf-8"), re.DOTALL)
    return [tuple(pair) for pair in json.loads(text[1])] if text else []


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def draw() -> None:
    """Draw the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    pyplot.rcParams |= {"svg.hashsalt": "packages", "svg.fonttype": "none", "font.family": "DejaVu Sans"}
    figure, ax = pyplot.subplots(figsize=(10, 6.2), layout="constrained")
    look = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3f8", "edgecolor": "#4c6a87"}
    middle = {"ha": "center", "va": "center", "fontsize": 12}
    boxes = {name: ax.text(x, y, name, bbox=look, zorder=3, **middle) for name, (x, y) in PLACES.items()}
    for text, y in ((f"{ROOF}: may import everything below", 3.85), (f"{FLOOR}: all may import it", -0.8)):
        ax.add_patch(FancyBboxPatch((-0.5, y - 0.06), 6.3, 0.12, "round,pad=0.08", fc="#e4e4e4", ec="#777777"))
        ax.text(2.65, y, text, **middle)
    ax.set(xlim=(-0.7, 6.0), ylim=(-1.15, 4.15))
    ax.axis("off")
    figure.canvas.draw()
    for one, other in arrows():
        # Straight down, it would run through the box between.
        bow = 0.6 if (one, other) == ("experiments", "dataset") else 0.0
        arrow = FancyArrowPatch(
            PLACES[one],
            PLACES[other],
            patchA=boxes[one].get_bbox_patch(),
            patchB=boxes[other].get_bbox_patch(),
            connectionstyle=f"arc3,rad={bow}",
            arrowstyle="-|>",
            mutation_scale=12,
            color="#2f5f8f",
            shrinkA=0,
            shrinkB=2,
        )
        ax.add_patch(arrow)
    about = f"The packages of fer_utils, arrows: {json.dumps(arrows())}"
    figure.savefig(PICTURE, metadata={"Date": None, "Creator": None, "Description": about})


if __name__ == "__main__":
    draw()
