"""One model for the command line, YAML and the form: precedence, presets, and errors that name the
nearest right key."""

from pathlib import Path

import pytest

from flows.chain.parameters import PipelineParameters, from_sources, merged, parse
from infra.errors import UsageError


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("dedup: {threshold: 0.6, seed: 5}\npreset: shakespeare_char\n")
    parameters = from_sources(file, ["dedup.threshold=0.7"], {"dedup": {"threshold": 0.9}})
    assert (parameters.dedup.threshold, parameters.dedup.seed, parameters.preset) == (
        0.9,
        5,
        "shakespeare_char",
    )


def test_a_preset_brings_its_tokenizer_and_the_user_can_change_it() -> None:
    assert parse({"preset": "shakespeare_char"}).tokenizer.type == "chars"
    assert (
        parse({"preset": "shakespeare_char", "tokenizer": {"type": "bytes"}}).tokenizer.type
        == "bytes"
    )


def test_training_parameters_are_the_preset_with_the_given_fields_changed() -> None:
    train = parse({"preset": "tiny", "train": {"model": {"layers": 2}}}).section("train")
    default = parse({"preset": "tiny"}).section("train")
    assert train.model.layers == 2
    assert train.model.width == default.model.width


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["dedup.treshold=0.7"], "unknown key 'dedup.treshold'; nearest: 'threshold'"),
        (["dedupe.threshold=0.7"], "unknown key 'dedupe.threshold'; nearest: 'dedup'"),
        (["dedup.threshold=high"], "dedup.threshold: Input should be a valid number"),
        (
            ["train.optimizer.muon_rl=1"],
            "unknown key 'train.optimizer.muon_rl'; nearest: 'muon_lr'",
        ),
        (["preset=tini"], "nearest: 'tiny'"),
        (["dedup.threshold"], "write --set section.key=value"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_names_it(settings: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=r".") as caught:
        from_sources(None, settings, {})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "just text"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"run\.yaml"):
        from_sources(file, [], {})


def test_merging_keeps_what_is_not_named() -> None:
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}


def test_the_form_has_every_field_with_a_description_in_order() -> None:
    properties = PipelineParameters.model_json_schema()["properties"]
    assert [p["position"] for p in properties.values()] == list(range(len(properties)))
    assert all(p.get("description") or "$ref" in p or "allOf" in p for p in properties.values())


@pytest.mark.parametrize(
    "text",
    [
        b"train: {steps: 5",
        b"a: b: c",
        b"\t- x",
        b"\xff\xfe\x00",
        b"x: !!python/object:os.system {}",
        b"train: 2020-13-45",
        b"1: 2",
        b"[1, 2]",
        b"[" * 100_000,
        b"a: &a [*a]",
    ],
)
def test_broken_yaml_is_one_line_that_names_the_file(text: bytes, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_bytes(text)
    with pytest.raises(UsageError) as caught:
        from_sources(config, [], {})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "{", "[1", "2020-01-01", "*x"])
def test_a_value_that_is_none_is_one_line_that_names_the_key(value: str) -> None:
    with pytest.raises(UsageError, match=r"train\.clip_norm: ") as caught:
        from_sources(None, [f"train.clip_norm={value}"], {})
    assert "\n" not in str(caught.value)


def test_what_prefect_stores_of_an_input_has_no_query() -> None:
    made = parse({"input": ["https://host/x.gz?X-Amz-Signature=hunter2", "crawl/part-?.gz"]})
    assert "hunter2" not in made.model_dump_json()
    assert made.model_dump(mode="json")["input"] == ["https://host/x.gz", "crawl/part-?.gz"]
    assert made.input[0].endswith("?X-Amz-Signature=hunter2")
    made = parse({"input": ["web=https://host/x.gz?X-Amz-Signature=hunter2"]})
    assert made.model_dump(mode="json")["input"] == ["web=https://host/x.gz"]


def test_no_error_about_a_parameter_repeats_a_password() -> None:
    address = "https://user:hunter2@host/x?token=hunter2"
    for values in ({"input": address}, {"name": [address]}):
        with pytest.raises(UsageError, match=r"\(got .*https://host/x") as caught:
            parse(values)
        assert "hunter2" not in str(caught.value)
