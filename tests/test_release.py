"""What a release says of itself, and what `release.yml` makes of a checkout."""

import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib

import pytest
import yaml

import qcs_jax

ROOT = pathlib.Path(__file__).parents[1]
TAG, ADDRESS = f"v{qcs_jax.__version__}", "https://host/owner/name"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MANUALS = [
    path
    for top in (ROOT, *(ROOT / name for name in ("configs", "data", "qcs_jax")))
    for path in (top.glob("*.md") if top == ROOT else top.rglob("*.md"))
]
ADDRESSED = re.compile(re.escape(ADDRESS) + r"/(\w+)/([^/)]+)/([^)\s]+)")


def load(root):
    spec = importlib.util.spec_from_file_location(
        "release", root / ".github/release.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RELEASE = load(ROOT)


def prose(path):
    """A Markdown file without its blocks of code."""
    text = path.read_text("utf-8")
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """What GitHub calls the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", x.lower()).replace(" ", "-") for x in headings}


def check_target(folder, target):
    path, _, anchor = target.partition("#")
    file = (folder / path).resolve()
    assert file.exists(), target
    if anchor:
        assert anchor in anchors(file), target


@pytest.mark.parametrize("path", MANUALS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_manuals_lead_somewhere(path):
    for _, _, target in RELEASE.LINK.findall(prose(path)):
        own = path.name if target.startswith("#") else ""
        check_target(path.parent, own + target)


def test_citation_changelog_and_package_name_one_version_and_day():
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert str(said["version"]) == qcs_jax.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    unreleased, newest, *_ = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert unreleased == "Unreleased"
    assert newest == f"{said['version']} – {said['date-released']}"


def test_licences_of_what_is_not_ours_come_along():
    for name in SETTINGS["license-files"]:
        assert (ROOT / name).is_file(), name
    named = re.findall(r"^qcs_jax/\S+$", (ROOT / "NOTICE").read_text("utf-8"), re.M)
    assert len(named) == 4 and all((ROOT / name).is_file() for name in named)


def test_the_workflow_calls_what_is_there():
    workflow = yaml.safe_load(
        (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    )
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = re.findall(r"python (?:-I )?(\S+\.py)", "".join(map(str, steps)))
    assert called == [".github/release.py", "source/tests/wheel/smoke.py"]
    assert all((ROOT / x.removeprefix("source/")).is_file() for x in called)
    # PyPI is asked to trust this workflow and this environment, by these names.
    pypi = workflow["jobs"]["pypi"]
    assert pypi["environment"]["name"] == "pypi"
    assert pypi["permissions"] == {"id-token": "write"}


@pytest.fixture
def checkout(tmp_path):
    """What `release.py` reads and writes."""
    if "Repository" in SETTINGS["urls"]:
        pytest.skip("this is the source archive of a release: it has run already")
    for name in ("README.md", "CHANGELOG.md", "pyproject.toml", "notebooks"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for name in (".github/release.py", "qcs_jax/__init__.py"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_a_checkout_is_made_ready(checkout):
    load(checkout).main(TAG, ADDRESS)
    readme = (checkout / "README.md").read_text("utf-8")
    assert not RELEASE.LINK.findall(readme)
    assert f"]({ADDRESS}/raw/{TAG}/.github/qcs.png)" in readme
    links = ADDRESSED.findall(readme)
    assert len(links) == len(
        RELEASE.LINK.findall((ROOT / "README.md").read_text("utf-8"))
    )
    for kind, tag, target in links:
        assert tag == TAG
        assert (kind == "tree") == (ROOT / target).is_dir()
        check_target(ROOT, target)
    settings = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    assert settings["urls"]["Repository"] == ADDRESS
    assert settings["urls"].items() > SETTINGS["urls"].items()
    notes = (checkout / "notes.md").read_text("utf-8")
    assert notes.strip() and "\n## " not in notes and not RELEASE.LINK.findall(notes)


def test_a_tag_or_a_changelog_that_does_not_agree_ends_it(checkout):
    release = load(checkout)
    with pytest.raises(SystemExit, match="the tag is v9, the package is"):
        release.main("v9", ADDRESS)
    changelog = checkout / "CHANGELOG.md"
    text = changelog.read_text("utf-8")
    for wrong in (
        text.replace(f"## {TAG[1:]} – ", "## "),  # no section
        re.sub(r" – \d{4}-\d\d-\d\d\n", "\n", text),  # no date
        text.split(f"## {TAG[1:]}")[0] + f"## {TAG[1:]} – 2026-01-01\n",  # empty
    ):
        changelog.write_text(wrong, "utf-8")
        with pytest.raises(SystemExit, match="CHANGELOG.md has no section"):
            release.main(TAG, ADDRESS)
    assert not (checkout / "notes.md").exists()


def test_the_source_archive_is_the_whole_project(tmp_path):
    pytest.importorskip("setuptools", "77", reason="setuptools 77 builds it")
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: git says what the project is")
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    names = {name for name in listed.splitlines() if (ROOT / name).is_file()}
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    code = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True
    )
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        packed = {x.name.partition("/")[2] for x in file.getmembers() if x.isfile()}
    made = {x for x in packed if ".egg-info/" in x} | {"PKG-INFO", "setup.cfg"}
    assert packed - made == names
