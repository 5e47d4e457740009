"""Run cards of anyone: those of this version are read, anything else ends with one line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from irsde.cli import app
from irsde.experiment.cards import RunCard
from irsde.files import InputError
from irsde.images import write_image
from tests.project import PROJECT

ORIGIN = {"file": "a.pth", "sha256": "0"}
CARD = {
    "profile": "smoke",
    "task": "denoising",
    "method": "ir-sde+l2",
    "seed": 0,
    "label": "IR-SDE + l2",
    "settings": {
        "network": {"name": "nafnet", "width": 8, "encoder_blocks": [1], "decoder_blocks": [1]}
    },
    "identity": {"code": "0"},
    "parameters": 1000,
    "weights_sha256": "0" * 64,
}


def written(folder, text):
    (folder / "run.json").write_text(text)
    return folder / "run.json"


def network(**changes):
    sizes = {"name": "nafnet", "width": 8, "encoder_blocks": [1], "decoder_blocks": [1]}
    return {"settings": {"network": {**sizes, **changes}}}


def test_every_committed_card_is_read():
    cards = sorted((PROJECT / "reports/study/results").rglob("run.json"))
    assert cards
    for path in cards:
        assert RunCard.read(path).content() == json.loads(path.read_text())


def test_cards_of_imported_averaged_and_outside_runs_are_read(tmp_path):
    for changes in (
        {
            "method": "ir-sde+authors",
            "conversion": "plain",
            "imported_from": {"file": "a.pth", "sha256": "0"},
        },
        {"method": "regression+snapshots+width0.05"},
        {"method": "outside+perfect", "parameters": None, "settings": {}},
        {"further": [1, {"of": "any form"}]},
    ):
        card = {**CARD, **changes}
        assert RunCard.read(written(tmp_path, json.dumps(card))).content() == card


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "../../etc"}, "task: is no task"),
        ({"task": ["denoising"]}, "task: input should be a valid string"),
        ({"method": "../ir-sde"}, "method: is no name"),
        ({"method": "ir-sde+../../x"}, "method: is no name"),
        ({"method": "nosuch"}, "method: 'nosuch' is no method of this version"),
        ({"method": ["ir-sde"]}, "method: input should be a valid string"),
        ({"profile": "../smoke"}, "profile: .* is no name"),
        ({"seed": -1}, "seed: input should be greater"),
        ({"seed": "0"}, "seed: input should be a valid integer"),
        ({"seed": 10**30}, "seed: input should be less"),
        ({"label": ["a"]}, "label: input should be a valid string"),
        ({"label": "a\nb"}, "label: has control characters"),
        ({"label": "a" * 10**6}, "label: string should have at most"),
        ({"settings": []}, "settings: input should be a valid dictionary or instance"),
        (network(width=10**9), r"settings.network: .*width: input should be less"),
        (network(width="a"), r"network: .*width: input should be a valid integer"),
        (network(encoder_blocks=[1] * 9), "encoder_blocks: .* at most 8 items"),
        (network(encoder_blocks=[10**9]), r"encoder_blocks\.0: input should be less"),
        (network(name="unet", depth=10**9), r"network: .*"),
        (network(name="nosuch"), "network: .*does not match any of the expected tags"),
        ({"settings": {"network": [1]}}, "settings.network: "),
        ({"identity": {"code": 1}}, r"identity\.code: input should be a valid string"),
        ({"parameters": -1}, r"parameters.*: input should be greater"),
        ({"weights_sha256": "x"}, "weights_sha256: string should match"),
        ({"conversion": "other"}, "conversion: input should be 'exact' or 'plain'"),
        ({"tuned": {"strength": "a"}}, r"tuned\.strength.*: input should be a valid"),
    ],
)
def test_a_card_with_anything_else_in_it_gets_one_line(tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as refusal:
        RunCard.read(written(tmp_path, json.dumps({**CARD, **changes})))
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("key", ["task", "method", "seed", "label", "settings", "identity"])
def test_a_card_without_a_field_gets_one_line(key):
    card = {name: value for name, value in CARD.items() if name != key}
    with pytest.raises(InputError, match=f"{key}: field required"):
        RunCard.check(Path("run.json"), card)


def test_a_file_that_is_no_card_gets_one_line(tmp_path):
    for text, words in (
        ("[" * 200_000, "nested too deep|cannot be read as JSON"),
        ("[]", "not a run card"),
        ("{", "cannot be read as JSON"),
        (" " * (16 * 2**20 + 1), "larger than the 16 MiB"),
    ):
        with pytest.raises(InputError, match=words):
            RunCard.read(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps({**CARD, "task": "../../etc"}), "task: is no task"),
        (json.dumps({**CARD, "method": "nosuch"}), "is no method of this version"),
        (json.dumps({**CARD, **network(width=10**9)}), "width: input should be less"),
        ("[" * 200_000, "nested too deep|cannot be read as JSON"),
    ],
)
def test_a_hostile_card_ends_a_command_with_one_line(tmp_path, text, words):
    written(tmp_path, text)
    photo = tmp_path / "a.png"
    write_image(photo, np.zeros((8, 8, 3), np.uint8))
    arguments = ["restore", str(photo), "--run", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, InputError)
    assert re.search(words, str(done.exception))
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "out").exists()
