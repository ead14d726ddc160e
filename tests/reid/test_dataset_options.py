import pytest

from reid.dataset_options import parse_dataset_options
from reid.train_options import DataOptions


def test_values_are_read_as_yaml_and_names_take_either_dash():
    texts = ("level=hard", "pids=150", "combine-all=true", "boxes=", "path=a=b")
    expected = {"level": "hard", "pids": 150, "combine_all": True, "boxes": None, "path": "a=b"}
    assert parse_dataset_options(texts) == expected
    assert DataOptions(dataset_options=texts).options() == expected
    assert parse_dataset_options(()) == {}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("level",), "got 'level', allowed: NAME=VALUE"),
        (("=3",), "got '=3', allowed: NAME=VALUE"),
        (("a-b=1", "a_b=2"), "a_b twice"),
        (("a=[1",), "no YAML"),
    ],
)
def test_other_words_are_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        parse_dataset_options(texts)
