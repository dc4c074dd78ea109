"""The list of threads, an extension: paged like every list, narrowed by metadata."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.running_gateway import V1, V2, Api, api, running_gateway


@pytest.fixture
def v2(kafka_bootstrap: str, mongo_url: str) -> Iterator[Api]:
    with running_gateway(kafka_bootstrap, mongo_url, f"gateway_{uuid4().hex[:12]}") as url:
        client = api(url, V2)
        yield client
        client.client.close()


def made(v2: Api, **metadata: str) -> str:
    return str(v2.post("/threads", {"metadata": metadata})["id"])


def ids(v2: Api, **params: Any) -> list[str]:
    return [each["id"] for each in v2.get("/threads", **params)["data"]]


def test_threads_are_listed_page_by_page_in_the_form_of_each_version(v2: Api) -> None:
    assert v2.get("/threads") == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    first, second, third = (made(v2) for _ in range(3))
    page = v2.get("/threads", limit=2)
    assert page["data"] == [v2.get(f"/threads/{each}") for each in (third, second)]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (third, second, True)
    v2.delete(f"/threads/{second}")
    assert ids(v2, after=second) == [first]
    assert ids(v2, before=first) == [third]
    assert ids(v2, order="asc") == [first, third]
    assert ids(v2, after="thread_unknown") == []
    v1 = Api(v2.client, {**v2.headers, **V1})
    assert v1.get("/threads")["data"] == [v1.get(f"/threads/{each}") for each in (third, first)]


def test_metadata_narrows_the_list(v2: Api) -> None:
    plain = made(v2)
    jane = made(v2, user="jane", room="1")
    later = made(v2, user="jane", room="2")
    made(v2, user="janet")
    assert ids(v2, **{"metadata[user]": "jane"}) == [later, jane]
    assert ids(v2, **{"metadata[user]": "jane", "limit": 1, "after": later}) == [jane]
    assert ids(v2, **{"metadata[user]": "jane", "metadata[room]": "1"}) == [jane]
    assert ids(v2, **{"metadata[user]": ""}) == []
    assert ids(v2, order="asc", limit=1) == [plain]
    page = v2.get("/threads", **{"metadata[user]": "jane", "limit": 1})
    assert page["has_more"]


@pytest.mark.parametrize(
    "name", ["metadata", "metadata[]", "metadata[a.b]", "metadata[$a]", "metadata[a%00]"]
)
def test_a_filter_that_cannot_be_asked_is_refused(v2: Api, name: str) -> None:
    error = v2.refused("GET", f"/threads?{name}=1")
    assert (error["param"], error["code"]) == ("metadata", "invalid_value")
    assert v2.refused("GET", "/threads?metadata[a]=1&metadata[a]=2")
