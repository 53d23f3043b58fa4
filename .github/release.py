"""Makes a checkout ready to be built for a release: the first step of `release.yml`.

    python .github/release.py v1.0.0 https://github.com/OWNER/NAME

The tag must be the version of the package, and CHANGELOG.md must have its section, with
a date. That section becomes `notes.md`. Package registries show README.md away from the
files beside it, so its relative links, and those of the notes, become links to the tag;
the addresses of the repository are added to the metadata.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
# Group 1 is the "!" of a picture, 3 the target: not an address, which has a scheme.
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:)([^)\s]+)\)")


def version() -> str:
    """The version that the package says it has."""
    source = (ROOT / "qcs_jax/__init__.py").read_text("utf-8")
    return re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)[1]


def section(changelog: str, number: str) -> str:
    """What the changelog says of a version; exits where that has no dated section."""
    heading = rf"^## {re.escape(number)} – \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)"
    found = re.search(heading, changelog, re.MULTILINE | re.DOTALL)
    if not found or not found[1].strip():
        sys.exit(f"CHANGELOG.md has no section `## {number} – YYYY-MM-DD`: write it")
    return found[1].strip() + "\n"


def absolute(text: str, address: str, tag: str) -> str:
    """Markdown of the repository's root with links that work anywhere."""

    def link(found: re.Match) -> str:
        picture, words, target = found.groups()
        if target.startswith("#"):
            target = f"README.md{target}"
        folder = (ROOT / target.partition("#")[0]).is_dir()
        kind = "raw" if picture else "tree" if folder else "blob"
        return f"{picture}[{words}]({address}/{kind}/{tag}/{target})"

    return LINK.sub(link, text)


def main(tag: str, address: str) -> None:
    """Checks the tag, and writes notes.md, README.md and pyproject.toml."""
    if tag != f"v{version()}":
        sys.exit(f"the tag is {tag}, the package is {version()}: they must agree")
    notes = section((ROOT / "CHANGELOG.md").read_text("utf-8"), version())
    (ROOT / "notes.md").write_text(absolute(notes, address, tag), "utf-8")
    readme = ROOT / "README.md"
    readme.write_text(absolute(readme.read_text("utf-8"), address, tag), "utf-8")
    urls = {
        "Repository": address,
        "Documentation": f"{address}/tree/{tag}#more",
        "Changelog": f"{address}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }
    lines = "".join(f'{name} = "{url}"\n' for name, url in urls.items())
    settings = ROOT / "pyproject.toml"
    before, heading, after = settings.read_text("utf-8").partition("[project.urls]\n")
    settings.write_text(before + heading + lines + after, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
