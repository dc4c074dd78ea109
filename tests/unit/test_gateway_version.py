"""Which version a request speaks, and who sent it."""

import pytest

from services.gateway.auth import Keys, key_in
from services.gateway.version import Version, negotiate
from shared.errors import InvalidRequest, Unauthorized


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ("assistants=v1", Version.V1),
        ("assistants=v2", Version.V2),
        ("assistants=v1, assistants=v2", Version.V2),
        ("realtime=v1,assistants=v1", Version.V1),
        (" assistants=v2 ", Version.V2),
    ],
)
def test_the_highest_version_named_counts(header: str, version: Version) -> None:
    assert negotiate(header) is version


@pytest.mark.parametrize("header", [None, "", "realtime=v1", "assistants=v3", "assistants=v1,assistants=v9"])
def test_no_version_or_an_unknown_one_is_refused(header: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        negotiate(header)
    assert caught.value.code == "invalid_beta"
    assert "OpenAI-Beta: assistants=v2" in caught.value.message


@pytest.mark.parametrize("header", ["Bearer sk-right", "bearer  sk-right", "Basic OnNrLXJpZ2h0"])
async def test_the_key_opens_as_token_and_as_password(header: str) -> None:
    assert (await Keys("sk-right").key_of(header)).project_id == "default"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic !", "Basic dXNlcjpzay1yaWdodA==", "Digest x"])
async def test_no_key_is_told_how_to_send_one(header: str | None) -> None:
    assert key_in(header) == ""
    with pytest.raises(Unauthorized, match="You didn't provide an API key") as caught:
        await Keys("sk-right").key_of(header)
    assert caught.value.code is None


async def test_a_wrong_key_is_shown_masked() -> None:
    with pytest.raises(Unauthorized) as caught:
        await Keys("sk-right").key_of("Bearer sk-wrong-ünd-sö-weiter")
    assert caught.value.code == "invalid_api_key"
    assert caught.value.message.startswith("Incorrect API key provided: sk-w")
    assert "wrong" not in caught.value.message


async def test_without_a_key_in_the_settings_everybody_is_let_in() -> None:
    assert (await Keys("").key_of(None)).project_id == "default"
