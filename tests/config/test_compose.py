"""Every YAML file composes into the schema; misspelt keys, wrong types and impossible values do not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import MISSING

from nto3d.config.check import cores, validate
from nto3d.config.compose import CONFIG_FOLDER
from nto3d.config.io import CONFIG_ERRORS, explain, flatten, parse_options, register, to_config, to_dict
from nto3d.config.schema import Backend, Config, MaskUse, Reader, SegmenterName
from nto3d.errors import InputError
from tests.helpers import ROOT

OPTIONS = sorted(path.relative_to(CONFIG_FOLDER) for path in CONFIG_FOLDER.glob("*/*.yaml"))

CORES = cores()


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    register()
    with initialize_config_dir(config_dir=str(CONFIG_FOLDER), version_base="1.3"):
        yield


@dataclass
class Listed:
    """Options of a script."""

    recipes: list[str] = field(default_factory=lambda: ["all"])
    name: str = MISSING


def composed(*overrides: str) -> Config:
    return to_config(compose("config", list(overrides)))


def test_the_default_is_a_click_on_the_bundled_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # elsewhere its path is absolute
    config = composed()
    assert config.scene.path == "datasets/sample"
    assert config.segmenter.name is Config().segmenter.name is SegmenterName.grabcut
    assert (config.prompts.file, config.prompts.view) == (None, None)
    assert config.encoding.backend is Backend.warp
    assert config.output.startswith("runs/sample/")


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_option_composes(option: Path) -> None:
    group, name = option.parent.name, option.stem
    more = ["scene.path=somewhere/dtu_scan9"] if "dtu" in name else []
    more += ["scene.path=photo.jpg", "mode=single"] if name == "image" else []
    config = composed(f"{group}={name}", *more)
    if group == "encoding":
        assert config.encoding.backend.name == name
    if "dtu" in name:
        assert (config.scene.name, config.scene.reader) == ("dtu_scan9", Reader.dtu)
    if name == "concave_no_masks":
        assert (config.scene.recipe, config.scene.masks) == ("concave", MaskUse.none)


@pytest.mark.parametrize("trainer", ["smoke", "fast", "quality"])
@pytest.mark.parametrize("backend", ["warp", "torch", "tcnn"])
def test_trainers_set_the_size_of_the_table_never_the_backend(trainer: str, backend: str) -> None:
    config = composed(f"trainer={trainer}", f"encoding={backend}")
    assert config.encoding.backend.name == backend
    assert config.encoding.log2_entries == {"smoke": 12, "fast": 15, "quality": 17}[trainer]


def test_groups_given_by_hand_win_over_an_experiment() -> None:
    dtu = ("experiment=dtu_quality", "scene.path=somewhere/dtu_scan9")
    assert composed(*dtu).segmenter.name is SegmenterName.precomputed
    config = composed(*dtu, "segmenter=sam", "trainer=smoke", "segmenter=grabcut")
    assert config.segmenter.name is SegmenterName.grabcut
    assert config.trainer.steps == composed("trainer=smoke").trainer.steps


def test_values_given_by_hand_win() -> None:
    config = composed("trainer=quality", "encoding.levels=9", "trainer.steps=9", "scene.path='/a b/c=(1)'")
    assert (config.encoding.levels, config.trainer.steps, config.scene.path) == (9, 9, "/a b/c=(1)")
    assert composed("trainer=quality").export.resolution > composed().export.resolution


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.stepz=1", ["unknown key trainer.stepz", "trainer.steps"]),
        ("trainr.steps=1", ["unknown key trainr"]),
        ("trainer.loss.eikonal=1", ["unknown key trainer.loss.eikonal", "trainer.loss.eikonal_weight"]),
        ("trainer.steps=many", ["trainer.steps", "many", "Integer"]),
        ("trainer.lr=high", ["trainer.lr", "high", "Float"]),
        ("export.colors=2.5", ["export.colors", "2.5", "bool"]),
        ("encoding.backend=cuda", ["encoding.backend", "cuda", "warp, torch, tcnn"]),
        ("scene.test_views=[a]", ["scene.test_views", "a", "Integer"]),
        ("trainer=slow", ["trainer=slow", "fast, quality, smoke"]),
        ("scene=dtu", ["scene.path is missing"]),
        ("scene.path=a=b", ["scene.path=a=b", "quotes"]),
        ("seed=1,2", ["seed=1,2", "-m"]),
    ],
)
def test_a_bad_key_or_type_fails_in_one_line_that_names_it(override: str, words: list[str]) -> None:
    with pytest.raises((*CONFIG_ERRORS, InputError)) as caught:
        composed(override)
    message = explain(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("scene.downscale=0", ["scene.downscale", "from 1", "got 0"]),
        ("trainer.steps=0", ["trainer.steps", "got 0"]),
        ("trainer.lr=nan", ["trainer.lr", "got nan"]),
        ("trainer.lr=inf", ["trainer.lr", "got inf"]),
        ("trainer.loss.mask_weight=-1", ["trainer.loss.mask_weight", "got -1"]),
        ("encoding.log2_entries=60", ["encoding.log2_entries", "got 60"]),
        ("encoding.max_resolution=8", ["encoding.max_resolution", "16", "got 8"]),
        ("trainer.max_step_size=0.001", ["trainer.max_step_size", "at least", "got 0.001"]),
        ("export.resolution=1", ["export.resolution", "got 1"]),
        ("device=gpu", ["device", "cuda:N", "gpu"]),
        ("threads=0", ["threads", "got 0"]),
        (f"threads={4 * CORES + 1}", [f"threads: expected a number from 1 to {4 * CORES}", f"got {4 * CORES + 1}"]),
        ("scene.name=a/b", ["scene.name", "a/b"]),
        ("scene.path=''", ["scene.path", "expected a path"]),
        ("scene.test_views=[1,1]", ["scene.test_views", "[1, 1]"]),
        ("scene.test_views=[-1]", ["scene.test_views", "[-1]"]),
        ("seed=-1", ["seed", "got -1"]),
        ("evaluate.fscore_threshold=2", ["evaluate.fscore_threshold", "got 2"]),
        ("scene.mask=mask.png", ["scene.mask", "expected scene=image"]),
        ("segmenter.model=''", ["segmenter.model", "expected a path"]),
        ("prompts.text=cup", ["prompts.text", "segmenter=grabcut cannot read text", "segmenter=hf"]),
        ("prompts.text=' '", ["prompts.text", "expected a noun"]),
    ],
)
def test_an_impossible_value_is_refused(override: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        composed(override)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_a_noun_needs_a_target() -> None:
    with pytest.raises(InputError, match=r"prompts\.text: scene\.masks=none reconstructs everything"):
        composed("segmenter=hf", "prompts.text=cup", "scene.masks=none")


def test_one_value_of_a_script_s_list_needs_no_brackets() -> None:
    assert parse_options(Listed, ["recipes=patchwork", "name=x"]) == Listed(["patchwork"], "x")
    assert parse_options(Listed, ["recipes=[a,b]", "name=x"]).recipes == ["a", "b"]
    assert parse_options(Listed, ["name=x"]).recipes == ["all"]


@pytest.mark.parametrize("text", ["2_0", "true", "1e3", "чашка", "a b", "a=b", "[a]", "{x}", "a,b"])
def test_text_of_a_script_is_taken_as_it_stands(text: str) -> None:
    assert parse_options(Listed, [f"name={text}"]).name == text
    assert parse_options(Listed, [f"name='{text}'"]).name == text


def test_every_number_has_a_range() -> None:
    from nto3d.config.check import _RANGES

    flat = flatten(to_dict(composed()))
    numbers = {key for key, value in flat.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    assert numbers - set(_RANGES) == set()
    assert set(_RANGES) - set(flat) == set()


def test_validate_accepts_null_where_the_schema_does() -> None:
    config = composed("threads=null", "evaluate.max_views=null", "scene.test_views=null")
    validate(config)
    assert config.threads is None
