"""The house as docs/architecture.md draws it: who may import whom, how long a module may be, where its tests are."""

import ast
import importlib.util
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES, MOST_OF_A_FUNCTION = 250, 60
NO_PACKAGES = {"browser", "exercises", "hostile", "notebooks", "workshop"}
# What is still to be mended; whoever mends one takes it out.
STILL_UPWARDS: set[tuple[str, str]] = set()
STILL_TOO_LONG = {"workshop/custom_cnn.py: main"}


def _draw_packages():
    specification = importlib.util.spec_from_file_location("draw_packages", ROOT / "docs" / "draw_packages.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


house = _draw_packages()
IMPORTS = house.imports()


def modules():
    return [path for folder in ("fer_utils", "workshop") for path in sorted((ROOT / folder).rglob("*.py"))]


def packages():
    return {path.parent.name for path in (ROOT / "fer_utils").glob("*/__init__.py")}


def in_a_circle(pairs):
    """Return the members of one circle of imports, or nothing."""
    graph = {}
    for importer, imported in pairs:
        graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def upwards(pairs, allowed):
    """Return the imports that the table does not allow."""
    found = []
    for importer, imported in pairs:
        one, other = house.package_of(importer), house.package_of(imported)
        if one and other not in {one, "common", "", *allowed[one]}:
            found.append((importer, imported))
    return found


def test_the_table_names_every_package_and_has_no_circle():
    allowed = house.allowed()
    assert set(allowed) == packages()
    assert not in_a_circle((one, other) for one, others in allowed.items() for other in others)


def test_every_import_goes_downwards():
    assert set(upwards(IMPORTS, house.allowed())) - STILL_UPWARDS == set()


def test_no_modules_import_each_other_in_a_circle():
    # So the modules of a package do not import through its own `__init__`, which hands on what they hold.
    assert in_a_circle(pair for pair in IMPORTS if pair[0] != pair[1] and pair not in STILL_UPWARDS) == []


def test_an_import_upwards_and_a_circle_would_be_found():
    allowed = {"plots": set(), "records": {"plots"}}
    pairs = [("fer_utils.records.keep", "fer_utils.plots.curves"), ("fer_utils.plots.curves", "fer_utils.records.keep")]
    assert upwards(pairs, allowed) == pairs[1:]
    assert set(in_a_circle(pairs)) == {"fer_utils.records.keep", "fer_utils.plots.curves"}


def test_the_library_does_without_the_workshop():
    assert [pair for pair in IMPORTS if pair[1].startswith("workshop")] == []


def test_the_picture_shows_the_imports_as_they_are():
    assert house.drawn_arrows() == house.arrows(), "run 'python docs/draw_packages.py'"
    assert set(house.PLACES) | {house.ROOF, house.FLOOR} == packages()


def too_long(path):
    """Return what is too long in a module: its functions' names, and its own path."""
    text = path.read_text(encoding="utf-8")
    functions = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef)]
    name = path.relative_to(ROOT).as_posix()
    found = [name] if text.count("\n") > MOST_LINES else []
    return found + [f"{name}: {each.name}" for each in functions if each.end_lineno - each.lineno >= MOST_OF_A_FUNCTION]


def test_modules_and_functions_are_short():
    found = {each for path in modules() for each in too_long(path)}
    assert found - STILL_TOO_LONG == set()


def test_each_package_has_its_tests_in_a_folder_of_its_name():
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders - NO_PACKAGES == packages()
