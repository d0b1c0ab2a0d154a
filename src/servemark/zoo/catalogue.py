"""What is in the zoo: names, aliases, and what each model takes. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from servemark.environments.backends import BACKENDS as BACKENDS
from servemark.environments.backends import Backend as Backend


@dataclass(frozen=True)
class ZooModel:
    """One entry: `name` as the command line has it, `wire_name` as the server has it (the original's spelling)."""

    name: str
    wire_name: str
    title: str
    aliases: tuple[str, ...] = ()

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every spelling that finds this model."""
        return (self.name, self.wire_name, *self.aliases)


ZOO: tuple[ZooModel, ...] = (
    ZooModel("resnet", "resnet-18", "ResNet-18, image classification", ("resnet18", "resnet-18-v1")),
    ZooModel("squeezenet", "squeezenet_v1.1", "SqueezeNet v1.1, image classification", ("squeezenet1.1",)),
    ZooModel("lstm", "lstm_ptb", "word-level LSTM language model", ("lstm-ptb",)),
    ZooModel("noop", "noop-v1.0", "answers at once: what the server itself costs", ()),
)
DEFAULT_MODEL = "resnet"


def find(name: str) -> ZooModel | None:
    """The model of that name or alias (case does not matter), or None."""
    wanted = name.lower()
    return next((model for model in ZOO if wanted in (n.lower() for n in model.all_names)), None)
