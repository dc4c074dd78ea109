"""Tools of an assistant or a run, and the choice between them; stored in their v2 form."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from services.gateway.wire.fields import RequestBody
from shared.errors import InvalidRequest
from shared.runs.model import Json

RANKER: Literal["default_2024_08_21"] = "default_2024_08_21"


class Tool(RequestBody):
    def stored(self) -> Json:
        """The tool as the v2 API shows it: with everything filled in that has a default."""
        return self.model_dump()


class CodeInterpreter(Tool):
    type: Literal["code_interpreter"]


class Retrieval(Tool):
    type: Literal["retrieval"]

    def stored(self) -> Json:
        return FileSearch(type="file_search").stored()


class RankingOptions(RequestBody):
    ranker: Literal["auto", "default_2024_08_21"] = RANKER
    score_threshold: float = Field(ge=0, le=1)


class FileSearchOptions(RequestBody):
    max_num_results: int | None = Field(None, ge=1, le=50)
    ranking_options: RankingOptions | None = None


class FileSearch(Tool):
    type: Literal["file_search"]
    file_search: FileSearchOptions | None = None

    def stored(self) -> Json:
        options = self.file_search or FileSearchOptions()
        ranking = options.ranking_options
        filled: Json = {} if options.max_num_results is None else {"max_num_results": options.max_num_results}
        filled["ranking_options"] = {
            "ranker": RANKER,  # which "auto" stands for
            "score_threshold": ranking.score_threshold if ranking else 0.0,
            "hybrid_search": None,
        }
        return {"type": self.type, "file_search": filled}


class FunctionV1(RequestBody):
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: str | None = Field(None, max_length=1024)
    parameters: dict[str, Any] | None = None

    def stored(self) -> Json:
        described = {} if self.description is None else {"description": self.description}
        parameters = {"type": "object", "properties": {}} if self.parameters is None else self.parameters
        return {"name": self.name, **described, "parameters": parameters, "strict": False}


class Function(FunctionV1):
    strict: bool | None = None

    def stored(self) -> Json:
        return super().stored() | {"strict": bool(self.strict)}


class FunctionToolV1(Tool):
    type: Literal["function"]
    function: FunctionV1

    def stored(self) -> Json:
        return {"type": self.type, "function": self.function.stored()}


class FunctionTool(FunctionToolV1):
    function: Function


ToolV1: TypeAlias = Annotated[CodeInterpreter | Retrieval | FunctionToolV1, Field(discriminator="type")]
ToolV2: TypeAlias = Annotated[CodeInterpreter | FunctionTool | FileSearch, Field(discriminator="type")]


class NamedFunction(RequestBody):
    name: str


class FunctionChoice(RequestBody):
    type: Literal["function"]
    function: NamedFunction


ChoiceObjectV1: TypeAlias = Annotated[
    CodeInterpreter | FunctionChoice | Retrieval, Field(discriminator="type")
]


class FileSearchChoice(RequestBody):
    type: Literal["file_search"]


ChoiceObjectV2: TypeAlias = Annotated[
    CodeInterpreter | FunctionChoice | FileSearchChoice, Field(discriminator="type")
]


def _kind(value: Any) -> str:
    return "|word" if isinstance(value, str) else "|object"


Word: TypeAlias = Literal["none", "auto", "required"]
ToolChoiceV1: TypeAlias = Annotated[
    Annotated[Word, Tag("|word")] | Annotated[ChoiceObjectV1, Tag("|object")], Discriminator(_kind)
]
ToolChoiceV2: TypeAlias = Annotated[
    Annotated[Word, Tag("|word")] | Annotated[ChoiceObjectV2, Tag("|object")], Discriminator(_kind)
]


def stored_choice(choice: str | RequestBody) -> Any:
    if isinstance(choice, str):
        return choice
    if isinstance(choice, Retrieval):
        return {"type": "file_search"}
    return choice.model_dump()


def check_json_mode(tools: list[Json] | tuple[Json, ...], response_format: Any) -> None:
    """JSON formats go with functions only.

    Raises:
        InvalidRequest: one of ``tools`` is a hosted one all the same.
    """
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind in ("json_object", "json_schema") and any(tool["type"] != "function" for tool in tools):
        raise InvalidRequest(
            f"Invalid tools: all tools must be of type `function` when `response_format` is of type `{kind}`."
        )
