"""Layouts of TensorFlow 1 checkpoints: one list of renames each, read in both directions.

A rule pairs a variable's name with ours; "{i}" stands for the number of a layer; kernels are
transposed, because TensorFlow multiplies from the other side. A layout is one file of
`convert/families/`; which one a checkpoint has is told by variables that it must have (`marks`).

    Rules.of(layout.rules, layers=2).by_ours["bert.pooler.dense.weight"].theirs
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from hanmo.convert.contents import Stored
from hanmo.core import registry

LAYOUTS = "hanmo.convert.families"
OWN = "hanmo/"  # beginning of variables that hold heads of hanmo's own
STEP = "global_step"
_MOST_LAYERS = 64
Adapt = Callable[[Mapping[str, Stored]], dict[str, Stored]]


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rename.

    Attributes:
        theirs: the variable's name, with "{i}" where layers are numbered.
        ours: the parameter's name.
        turned: the matrix is transposed.
    """

    theirs: str
    ours: str
    turned: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """How one family of upstream programs stores its models.

    Attributes:
        title: what to call it in messages.
        family: `model_type` of the models that come of it.
        marks: variables that it must have; of several layouts whose marks are all there, the one
            with most of them is meant.
        tells: variables one of which tells it from a layout with the same marks, as the name of its
            configuration does.
        rules: the renames.
        configs: file names of its configuration, the usual one first.
        checkpoint: name of the checkpoint's files.
        activations: what its program means by `hidden_act` → the name outside it; absent: the same.
        layers: label layers whose heads it may have → rows; in the order of the published heads.
        shares_embeddings: its generator uses the discriminator's embeddings unless it has its own.
        adapt: changes the variables before the rules apply; such a layout is read only.
        source: upstream file that defines it.
    """

    title: str
    family: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]
    configs: tuple[str, ...]
    checkpoint: str
    source: str
    tells: tuple[str, ...] = ()
    activations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    layers: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    shares_embeddings: bool = False
    adapt: Adapt | None = None

    def activation(self, theirs: str) -> str:
        """Their name of an activation → ours."""
        return self.activations.get(theirs, theirs)

    def activation_there(self, ours: str) -> tuple[str, bool]:
        """Our name of an activation → theirs, and whether their program means the same by it.

        Their programs know one GELU, by the name "gelu".
        """
        form = "gelu_new" if ours == "gelu_pytorch_tanh" else ours
        if form not in {"gelu", "gelu_new"}:
            return form, True
        return "gelu", self.activation("gelu") == form


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """A layout's rules for a number of layers.

    Attributes:
        flat: all of them; a variable that several layers share has several.
        by_ours: by our name.
    """

    flat: tuple[Rule, ...]
    by_ours: Mapping[str, Rule]

    @classmethod
    def of(cls, rules: Sequence[Rule], *, layers: int) -> "Rules":
        """Number the layers.

        Args:
            rules: a layout's.
            layers: how many layers one shared variable becomes; those that have numbers there are
                taken as they come, so that too many are noticed.
        """
        flat = tuple(
            dataclasses.replace(
                rule,
                theirs=rule.theirs.replace("{i}", str(number)),
                ours=rule.ours.replace("{i}", str(number)),
            )
            for rule in rules
            for number in _numbers(rule, layers)
        )
        return cls(flat, {rule.ours: rule for rule in flat})

    def renamed(self, variables: Mapping[str, Stored]) -> dict[str, Stored]:
        """Return the variables that rules know, under our names."""
        return {
            rule.ours: stored.transposed if rule.turned else stored
            for rule in self.flat
            if (stored := variables.get(rule.theirs)) is not None
        }


def _numbers(rule: Rule, layers: int) -> range:
    if "{i}" not in rule.ours:
        return range(1)
    return range(_MOST_LAYERS if "{i}" in rule.theirs else layers)


def layouts() -> dict[str, Layout]:
    """Return all layouts by the names of their files."""
    return {name: registry.load(LAYOUTS, name).LAYOUT for name in registry.names(LAYOUTS)}


def dense(theirs: str, ours: str) -> tuple[Rule, ...]:
    """Return the rules of a dense layer."""
    return (
        Rule(f"{theirs}/kernel", f"{ours}.weight", turned=True),
        Rule(f"{theirs}/bias", f"{ours}.bias"),
    )


def norm(theirs: str, ours: str) -> tuple[Rule, ...]:
    """Return the rules of a layer normalisation."""
    return (Rule(f"{theirs}/gamma", f"{ours}.weight"), Rule(f"{theirs}/beta", f"{ours}.bias"))


def embeddings(theirs: str, ours: str) -> tuple[Rule, ...]:
    """Return the rules of the three embeddings and their normalisation."""
    tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    return (
        *(Rule(f"{theirs}/{table}", f"{ours}.{table}.weight") for table in tables),
        *norm(f"{theirs}/LayerNorm", f"{ours}.LayerNorm"),
    )


def layer(theirs: str, ours: str) -> tuple[Rule, ...]:
    """Return the rules of a transformer layer as BERT and ELECTRA name it."""
    parts = ("query", "key", "value")
    return (
        *(
            rule
            for part in parts
            for rule in dense(f"{theirs}/attention/self/{part}", f"{ours}.attention.self.{part}")
        ),
        *dense(f"{theirs}/attention/output/dense", f"{ours}.attention.output.dense"),
        *norm(f"{theirs}/attention/output/LayerNorm", f"{ours}.attention.output.LayerNorm"),
        *dense(f"{theirs}/intermediate/dense", f"{ours}.intermediate.dense"),
        *dense(f"{theirs}/output/dense", f"{ours}.output.dense"),
        *norm(f"{theirs}/output/LayerNorm", f"{ours}.output.LayerNorm"),
    )


def heads(transform: str = "cls/predictions/transform") -> tuple[Rule, ...]:
    """Return the rules of pooler, masked-LM head, pair head and heads of Google's fine-tuning."""
    return (
        *dense("bert/pooler/dense", "bert.pooler.dense"),
        *dense(f"{transform}/dense", "cls.predictions.transform.dense"),
        *norm(f"{transform}/LayerNorm", "cls.predictions.transform.LayerNorm"),
        Rule("cls/predictions/output_bias", "cls.predictions.bias"),
        Rule("cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
        Rule("cls/seq_relationship/output_bias", "cls.seq_relationship.bias"),
        Rule("output_weights", "classifier.weight"),
        Rule("output_bias", "classifier.bias"),
        Rule("cls/squad/output_weights", "qa_outputs.weight"),
        Rule("cls/squad/output_bias", "qa_outputs.bias"),
    )
