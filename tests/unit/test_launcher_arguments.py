"""What the command line of ``threadmill`` means."""

from pathlib import Path

import pytest

from deploy.local.arguments import read
from deploy.local.programs import Model
from deploy.local.up import build_options, choose_model


def test_up_needs_no_options() -> None:
    options = build_options(read(["up"], {}), {})

    assert (options.host, options.port, options.data) == ("127.0.0.1", 8080, Path(".threadmill/data"))
    assert (options.kafka, options.mongo, options.model, options.api_key) == (None, None, None, "")
    assert not options.sync


def test_the_disk_can_be_waited_for() -> None:
    assert build_options(read(["up", "--sync"], {}), {}).sync


def test_up_takes_addresses_of_what_runs_already() -> None:
    given = ["--kafka", "k1:9092,k2:9092", "--mongo", "mongodb://m", "--model-url", "https://model/v1"]

    options = build_options(read(["up", *given, "--model-api-key", "secret"], {}), {})

    assert (options.kafka, options.mongo) == ("k1:9092,k2:9092", "mongodb://m")
    assert options.model == Model(url="https://model/v1", api_key="secret")


def test_aliases_are_collected() -> None:
    arguments = read(["up", "--model-alias", "gpt-4=llama", "--model-alias", "*=qwen=8b"], {})

    assert build_options(arguments, {}).model_aliases == {"gpt-4": "llama", "*": "qwen=8b"}


def test_the_model_of_the_environment_is_used() -> None:
    environ = {"OPENAI_BASE_URL": "https://model/v1", "OPENAI_API_KEY": "secret"}

    assert choose_model(read(["up"], environ), {}, environ) == Model(url="https://model/v1", api_key="secret")


def test_a_key_without_an_address_leaves_the_demo_model() -> None:
    environ = {"OPENAI_API_KEY": "secret"}

    assert choose_model(read(["up"], environ), {}, environ) is None


def test_a_client_setting_that_points_here_is_no_model() -> None:
    environ = {"OPENAI_BASE_URL": "http://localhost:8080/v1"}

    assert choose_model(read(["up"], environ), {}, environ) is None


def test_the_api_key_may_come_from_the_environment() -> None:
    environ = {"THREADMILL_API_KEY": "given"}

    assert read(["up"], environ).api_key == "given"
    assert read(["demo", "--api-key", "other"], environ).api_key == "other"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["up", "--port", "80800"], "'80800' is not a port"),
        (["up", "--model-url", "model:8000"], "'model:8000' is not an http(s) address"),
        (["up", "--model-alias", "gpt-4"], "'gpt-4' is not FROM=TO"),
        ([], "required: COMMAND"),
    ],
)
def test_what_makes_no_sense_is_refused(
    wrong: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        read(wrong, {})

    assert exit_.value.code == 2
    assert said in capsys.readouterr().err
