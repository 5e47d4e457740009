"""Keys of a profile: each is explained, as the models that check profiles have it."""

import pytest
import yaml

from irsde.experiment.keys import REQUIRED, described, profile_keys
from irsde.experiment.profile import DataSettings, TrainingSettings
from irsde.files import InputError
from tests.project import PROJECT
from tests.test_cli import irsde, make_project

KEYS = {key.path: key for key in profile_keys()}


@pytest.mark.parametrize("key", profile_keys(), ids=lambda key: f"{key.path}-{key.effect[:6]}")
def test_every_key_has_values_and_an_effect(key):
    assert key.effect not in ("", "None")
    assert key.values
    assert "None" not in key.effect
    assert key.default or key.values == "group"


@pytest.mark.parametrize("model", [TrainingSettings, DataSettings])
def test_defaults_are_those_of_the_models(model):
    group = {"TrainingSettings": "training", "DataSettings": "data"}[model.__name__]
    for name, field in model.model_fields.items():
        shown = KEYS[f"{group}.{name}"].default
        assert (shown == REQUIRED) == field.is_required(), name
        if isinstance(field.default, int | str) and not isinstance(field.default, bool):
            assert shown == str(field.default)


def paths(content, prefix=""):
    """Paths of the keys of a profile's file; what stands below names of its own is left out."""
    for name, value in content.items():
        yield (path := f"{prefix}{name}")
        if isinstance(value, dict) and path not in ("variants", "data.tasks"):
            yield from paths(value, f"{path}.")
        for one in value if isinstance(value, list) else ():
            if isinstance(one, dict):
                yield from paths(one, f"{path}[].")


def test_every_key_of_the_profiles_is_explained():
    for file in PROJECT.glob("workflow/config/*.yaml"):
        assert set(paths(yaml.safe_load(file.read_text()))) <= KEYS.keys(), file


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    text = described(None, width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("training.batch: ") == 1


def test_a_part_of_a_name_chooses(tmp_path):
    done = irsde(make_project(tmp_path), "keys", "memory.")
    assert [line.split(":")[0] for line in done.stdout.splitlines() if line[0] != " "] == [
        "memory.training",
        "memory.evaluation",
    ]


def test_a_misspelt_key_gets_the_nearest():
    with pytest.raises(InputError, match=r"did you mean training\.batch\?"):
        described("trainig.batch", 80)
