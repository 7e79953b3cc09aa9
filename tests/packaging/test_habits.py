"""What is checked before a commit is what the tests check; CITATION.cff has what its format asks for."""

from __future__ import annotations

import re
from typing import Any

import yaml

from nto3d.config.schema import MeshFormat, Mode, Reader, SegmenterName
from nto3d.config.single import DepthSource
from tests.helpers import ROOT


def test_commits_are_checked_by_the_commands_of_the_tests() -> None:
    repos: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    # Local ones run the tools that requirements-dev.txt pins; others would have pins of their own
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = repos[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    before = [hook["entry"].removesuffix(" --force-exclude") for hook in hooks]
    script = (ROOT / "scripts" / "test.sh").read_text()
    tests = re.findall(r"^(ruff check|ruff format|mypy)\b", script, re.MULTILINE)
    assert before == tests == ["ruff check", "ruff format", "mypy"]


def test_the_citation_names_software_and_papers() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license"} <= set(citation)
    assert "version" not in citation  # it stands in nto3d/__init__.py alone
    papers = {paper["identifiers"][0]["value"]: paper for paper in citation["references"]}
    assert set(papers) == {"arXiv:2309.12790", "arXiv:2301.08247", "arXiv:2106.10689", "arXiv:2304.02643"}
    for name, paper in papers.items():
        assert paper["url"] == f"https://arxiv.org/abs/{name.removeprefix('arXiv:')}"
        assert {"type", "title", "authors", "year"} <= set(paper)
        assert all({"given-names", "family-names"} == set(author) for author in paper["authors"])


def test_links_between_documents_lead_somewhere() -> None:
    for document in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
            assert (ROOT / target).exists(), f"{document}: {target}"


def test_the_recipes_name_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:nto3d|tests|configs|scripts|docs|datasets)/[\w./-]+)`", text):
        assert "NAME" in name or (ROOT / name).exists(), name
    for name in re.findall(r"`((?:data|geometry|segment|config|runs|stages|depth)/[\w./-]+\.py)`", text):
        assert (ROOT / "nto3d" / name).exists(), name


def test_every_script_is_a_program() -> None:
    for path in sorted((ROOT / "scripts").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        end = text[text.rindex("\nif __name__") :] if "\nif __name__" in text else ""
        assert re.search(r"sys\.exit\(guarded\(main(, sys\.argv\[1:\])?\)\)\n$", end), f"{path}: no program"
        name = f"scripts/{path.relative_to(ROOT / 'scripts').as_posix()}"
        assert name in text.partition('"""\n')[0], f"{path}: its help does not say how it is called"


def test_what_is_planned_is_not_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    planned = re.search(r"Planned, not there yet:\n\n(.*?)\n\n", text, re.DOTALL)
    assert planned is not None
    there = [*Reader, *SegmenterName, *MeshFormat, *DepthSource, *Mode]
    for kind in there:
        assert not re.search(rf"\b{kind.value}\b", planned[1], re.IGNORECASE), kind
    readers = {path.stem for path in (ROOT / "nto3d" / "data").glob("*.py")}
    assert not readers & {word.lower() for word in re.findall(r"\w+", planned[1])}
