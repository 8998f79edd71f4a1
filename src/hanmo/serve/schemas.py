"""What requests and answers look like, made from the kinds themselves, for checks and for OpenAPI.

A kind's request has `inputs`: texts, or objects with its fields; `top_k`; and the kind's options.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, create_model

from hanmo.predict._predictor import ID, Predictor
from hanmo.serve.limits import Limits
from hanmo.serve.models import DEFAULT_TOP_K, options_of


class Answers(BaseModel):
    """One answer an input, in their order (docs/formats.md, "Answers of hanmo predict")."""

    model: str
    kind: str
    engine: str = Field(description="what runs the model, such as torch bf16 or onnx int8")
    answers: list[dict[str, Any]]


class Error(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(description="for programs")
    message: str = Field(description="for people: what was got, what is expected")
    request_id: str = Field(description="to find the request in the server's log")


class Failure(BaseModel):
    """The answer of a request that failed."""

    error: Error


class Kind(BaseModel):
    """What a kind of answer takes."""

    fields: list[str]
    optional_fields: list[str]


class Model(BaseModel):
    """A model that is served."""

    model_config = ConfigDict(extra="allow")

    name: str
    engine: str
    kinds: dict[str, Kind]


class Models(BaseModel):
    """All models that are served."""

    models: list[Model]


class State(BaseModel):
    """Whether the server lives, or takes requests."""

    status: str


def request_of(model: str, kind: str, predictor: Predictor, limits: Limits) -> type[BaseModel]:
    """Make the model of a kind's requests.

    Args:
        model: name of the model, for the schema's name.
        kind: of answers.
        predictor: says which fields its questions have.
        limits: of the server.
    """
    title = "".join(part.capitalize() for part in f"{model} {kind}".replace("-", " ").split())
    text = Annotated[str, StringConstraints(max_length=limits.characters)]
    words = Annotated[list[text], Field(max_length=limits.inputs)]
    value = text | words | StrictInt  # a number: where a span of CLUEWSC begins
    fields: dict[str, Any] = dict.fromkeys(predictor.fields, (value, ...))
    fields |= dict.fromkeys(predictor.optional_fields, (value | None, None))
    fields[ID] = (str | int | None, Field(None, description="comes back with the answer"))
    strict = ConfigDict(extra="forbid")
    question = create_model(f"{title}Input", __config__=strict, **fields)
    options: dict[str, Any] = {
        flag.name: (flag.type, Field(flag.default, le=most, description=flag.help))
        for flag, most in options_of(kind)
    }
    return create_model(
        f"{title}Request",
        __config__=strict,
        inputs=(
            Annotated[list[text | question], Field(min_length=1, max_length=limits.inputs)],  # type: ignore[valid-type]
            ...,
        ),
        top_k=(int, Field(DEFAULT_TOP_K, ge=1, le=limits.top_k, description="answers to give")),
        **options,
    )
